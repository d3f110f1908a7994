import { scryptSync } from 'node:crypto';
import type { Machine } from '@octavia/domain';
import { renderAgentConfig } from '@octavia/render';
import type { WorkerSettings } from '../world.ts';

/** Bytes of the digest: enough to tell settings apart. */
const DIGEST_BYTES = 16;

/** What the agent of an amphora is told. */
export function agentConfigOf(
  amphora: Pick<Machine, 'id' | 'class'>,
  { agent }: Pick<WorkerSettings, 'agent'>,
): string {
  const { digest: _, ...told } = agent;
  return renderAgentConfig({ amphoraId: amphora.id, topology: amphora.class.topology, ...told });
}

/**
 * A digest of what all agents are told alike, by which amphorae that were told something else are found. It is kept in the database, so
 * it is made slowly: nobody shall find a weak heartbeat key from it by trying many.
 */
export function agentSettingsDigest(agent: Omit<WorkerSettings['agent'], 'digest'>): string {
  const { controllerIpPortList, heartbeatIntervalMs, heartbeatKey } = agent;
  const salt = JSON.stringify([controllerIpPortList, heartbeatIntervalMs]);
  return scryptSync(heartbeatKey, salt, DIGEST_BYTES).toString('hex');
}
