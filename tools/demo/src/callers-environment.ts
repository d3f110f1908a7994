/** The environment as it was given to us: what we start gets it. */
export const callersEnvironment: NodeJS.ProcessEnv = { ...process.env };

// Our own libraries would log JSON lines between the lines for people.
process.env.LOG_LEVEL = 'silent';
