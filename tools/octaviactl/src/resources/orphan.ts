/** What `orphans …` does. For administrators. */
import { type ListOrphansRequest, Orphan, OrphanServiceService as service } from '@octavia/proto';
import type { Action } from '../grammar.ts';
import type { WaitOptions } from '../options.ts';
import type { View } from '../output/format.ts';
import { toWord } from '../words.ts';
import { waitForFlow } from './flow.ts';
import { orNull } from './resource.ts';

interface AgeOptions {
  /** Milliseconds. */
  readonly olderThan?: number;
}

interface CleanOptions extends AgeOptions, WaitOptions {
  readonly dryRun?: true;
}

const COLUMNS = ['side', 'kind', 'name', 'driver', 'age_seconds', 'message'];

export const list: Action<AgeOptions> = async (session, _args, options) => {
  const { orphans, truncated } = await session.call(service.listOrphans, request(options));
  await session.printList(orphans.map(view), COLUMNS, Object.keys(view(Orphan.create())));
  if (truncated) process.stderr.write(`Only the first ${orphans.length} are shown; there are more.\n`);
};

export const clean: Action<CleanOptions> = async (session, args, options) => {
  if (options.dryRun) return list(session, args, options);
  const { flowId } = await session.change(service.cleanOrphans, request(options));
  if (options.wait) await waitForFlow(session, flowId, 'the removal of orphans', options.waitTimeout);
  else await session.printObject({ flow_id: flowId });
};

function request({ olderThan }: AgeOptions): ListOrphansRequest {
  if (olderThan === undefined) return { olderThan: undefined };
  return {
    olderThan: { seconds: BigInt(Math.floor(olderThan / 1000)), nanos: (olderThan % 1000) * 1_000_000 },
  };
}

function view(orphan: Orphan): View {
  return {
    side: toWord('ORPHAN_SIDE', orphan.side),
    kind: orphan.kind,
    name: orphan.name,
    driver: orphan.driver,
    amphora_id: orNull(orphan.amphoraId),
    loadbalancer_id: orNull(orphan.loadBalancerId),
    age_seconds: orphan.age ? Number(orphan.age.seconds) : null,
    message: orphan.message,
  };
}
