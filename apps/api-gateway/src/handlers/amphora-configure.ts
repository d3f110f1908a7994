import { Amphorae, Flows, type Tx } from '@octavia/db';
import type { Caller } from '@octavia/domain';
import { configureAmphora as configureFlow } from '@octavia/flows';
import { ConfigureAmphoraRequest, type ConfigureAmphoraResponse } from '@octavia/proto';
import { requireAdmin } from '../authorize.ts';
import { Violations } from '../check/violations.ts';
import { isRepetition } from '../once.ts';
import type { Parts } from '../parts.ts';
import { AmphoraNotFit } from './amphora-failover.ts';
import { readAmphora } from './read-amphora.ts';

const amphorae = new Amphorae();
const flows = new Flows();

/** Gives the agent of an amphora its configuration anew. One flow at a time: a second call is answered with the first. */
export async function configureAmphora(
  parts: Parts,
  request: ConfigureAmphoraRequest,
  caller: Caller,
): Promise<ConfigureAmphoraResponse> {
  requireAdmin(caller, 'Configuring an amphora');
  const check = new Violations();
  const id = check.uuid('id', request.id);
  const requestId = check.optionalUuid('request_id', request.requestId);
  check.finish();
  const call = {
    method: 'ConfigureAmphora',
    requestId,
    request: ConfigureAmphoraRequest.encode(request).finish(),
    objectId: id,
  };
  return parts.db.transaction(async (tx) => {
    const isRepeated = await isRepetition(tx, call, caller);
    const flowId = (await newest(tx, id, !isRepeated)) ?? (await start(parts, tx, id, caller));
    return { amphora: await readAmphora(tx, id), flowId };
  });
}

async function newest(tx: Tx, amphoraId: string, onlyOpen: boolean): Promise<string | null> {
  const found = await flows.list(tx, { amphoraId, onlyOpen }, 20);
  return found.find(({ name }) => name === 'amphora.configure')?.id ?? null;
}

async function start({ policy }: Parts, tx: Tx, id: string, caller: Caller): Promise<string> {
  const { status, seats } = await amphorae.get(tx, id, { lock: true });
  if (status !== 'READY' && status !== 'ALLOCATED') {
    const message = `Amphora ${id} is ${status}: only one that serves (ALLOCATED) or a spare (READY) has an agent to configure.`;
    throw new AmphoraNotFit('AMPHORA_NOT_CONFIGURABLE', message, { id, status });
  }
  const requester = { projectId: caller.projectId, userId: caller.userId, requestId: caller.requestId };
  return flows.start(
    tx,
    configureFlow(id, seats[0]?.loadBalancerId ?? null, requester, { deadlineMs: policy.flowDeadlineMs }),
  );
}
