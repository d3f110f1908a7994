import { Amphorae, TrafficReports } from '@octavia/db';
import type { Caller } from '@octavia/domain';
import type { AmphoraStatistics, Statistics } from '@octavia/proto';
import { readScope, requireAdmin } from '../authorize.ts';
import { readId } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { writeStatistics } from '../translate/statistics.ts';

const amphorae = new Amphorae();
const reports = new TrafficReports();

export async function loadBalancerStatistics(parts: Parts, text: string, caller: Caller): Promise<Statistics> {
  const id = await visible(parts, 'load_balancer', text, caller);
  return writeStatistics(await reports.ofLoadBalancer(parts.db.reader, id));
}

export async function listenerStatistics(parts: Parts, text: string, caller: Caller): Promise<Statistics> {
  const id = await visible(parts, 'listener', text, caller);
  return writeStatistics(await reports.ofListener(parts.db.reader, id));
}

export async function amphoraStatistics({ db }: Parts, text: string, caller: Caller): Promise<AmphoraStatistics> {
  requireAdmin(caller, 'Reading amphorae');
  const { id } = await amphorae.get(db.reader, readId('id', text));
  const traffic = await reports.ofAmphora(db.reader, id);
  return {
    amphoraId: id,
    listeners: traffic.map(({ listenerId, loadBalancerId, ...sums }) => ({
      listenerId,
      loadBalancerId,
      statistics: writeStatistics(sums),
    })),
  };
}

/** @throws NotFound */
async function visible(
  { db, replies }: Parts,
  kind: 'load_balancer' | 'listener',
  text: string,
  caller: Caller,
): Promise<string> {
  const scope = readScope(caller, 'Reading statistics');
  return (await replies.one(db.reader, kind, readId('id', text), scope)).id;
}
