import { Flows } from '@octavia/db';
import { type Caller, InvalidRequest } from '@octavia/domain';
import { sweepOrphans } from '@octavia/flows';
import type {
  CleanOrphansRequest,
  CleanOrphansResponse,
  ListOrphansRequest,
  ListOrphansResponse,
  OrphanServiceService,
} from '@octavia/proto';
import { type Handlers, unary } from '@octavia/service';
import { requireAdmin } from '../authorize.ts';
import type { Parts } from '../parts.ts';

/** How long the worker may take to compare, in milliseconds: it asks every driver for all that it has. Callers wait 30 s. */
const COMPARE_MS = 25_000;
/** Longest age that can be asked for, in milliseconds. */
const LONGEST_MS = 366 * 86_400_000;

const flows = new Flows();

export function orphanHandlers(parts: Parts): Handlers<typeof OrphanServiceService> {
  return {
    listOrphans: unary((request, { caller }) => list(parts, request, caller)),
    cleanOrphans: unary((request, { caller }) => clean(parts, request, caller)),
  };
}

async function list({ lookup }: Parts, request: ListOrphansRequest, caller: Caller): Promise<ListOrphansResponse> {
  requireAdmin(caller, 'Listing orphans');
  ageOf(request);
  return lookup.findOrphans(request, { deadlineMs: COMPARE_MS });
}

async function clean(
  { db, policy }: Parts,
  request: CleanOrphansRequest,
  caller: Caller,
): Promise<CleanOrphansResponse> {
  requireAdmin(caller, 'Removing orphans');
  const requester = { projectId: caller.projectId, userId: caller.userId, requestId: caller.requestId };
  const sweep = sweepOrphans(requester, { graceMs: ageOf(request), deadlineMs: policy.flowDeadlineMs });
  return db.transaction(async (tx) => {
    // One that has not begun yet would look for less, perhaps: they run one after the other.
    const open = await flows.open(tx, sweep.turnKey);
    const same = open.find(
      ({ state, input }) => state === 'QUEUED' && JSON.stringify(input) === JSON.stringify(sweep.input),
    );
    return { flowId: same?.id ?? (await flows.start(tx, sweep)) };
  });
}

/** @throws InvalidRequest */
function ageOf({ olderThan }: ListOrphansRequest): number {
  if (!olderThan) return 0;
  const ms = Number(olderThan.seconds) * 1000 + Math.round(olderThan.nanos / 1_000_000);
  if (ms >= 0 && ms <= LONGEST_MS) return ms;
  throw new InvalidRequest([
    { field: 'older_than', description: 'must be from 0 to a year', reason: 'DURATION_OUT_OF_RANGE' },
  ]);
}
