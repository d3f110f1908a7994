// Placeholder until the agent's bundle exists.
