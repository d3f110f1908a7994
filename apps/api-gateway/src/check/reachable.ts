import { Deployments, type Tx } from '@octavia/db';
import { InvalidRequest } from '@octavia/domain';
import type { WantedMember } from '../translate/member.ts';

const deployments = new Deployments();

/**
 * Refuses members on loopback addresses where amphorae have a network of their own: there, such an address is the amphora itself.
 * While no worker has told how amphorae run, they are admitted.
 * @throws InvalidRequest (LOOPBACK_ADDRESS) that says where members on this machine are reached
 */
export async function checkReachable(tx: Tx, member: Pick<WantedMember, 'address' | 'monitorAddress'>): Promise<void> {
  const fields = (['address', 'monitorAddress'] as const).filter((field) => isLoopback(member[field] ?? ''));
  if (fields.length === 0) return;
  const deployment = await deployments.get(tx);
  if (!deployment || deployment.reachesLoopback) return;
  const { hostAddress } = deployment;
  const hint = hostAddress === null ? '' : `; a server on the controller's machine is reached at ${hostAddress}`;
  throw new InvalidRequest(
    fields.map((field) => ({
      field: field === 'address' ? 'member.address' : 'member.monitor_address',
      reason: 'LOOPBACK_ADDRESS',
      description: `is the amphora itself, because amphorae have a network of their own${hint}`,
    })),
  );
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
