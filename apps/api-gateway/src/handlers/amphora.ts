import { Amphorae, afterOf, type Filters, lastHeartbeats, pageToken } from '@octavia/db';
import type { AmphoraStatus, Caller } from '@octavia/domain';
import type {
  AmphoraServiceService,
  ListAmphoraeRequest,
  ListAmphoraeResponse,
  Amphora as Message,
} from '@octavia/proto';
import { type Handlers, unary } from '@octavia/service';
import { requireAdmin } from '../authorize.ts';
import { readId, Violations } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { readPageSize } from '../replies.ts';
import { writeAmphora } from '../translate/amphora.ts';
import { wordOf } from '../translate/enums.ts';
import { configureAmphora } from './amphora-configure.ts';
import { failoverAmphora } from './amphora-failover.ts';
import { confirmFence } from './amphora-fence.ts';
import { readAmphora } from './read-amphora.ts';
import { amphoraStatistics } from './statistics.ts';

const amphorae = new Amphorae();

export function amphoraHandlers(parts: Parts): Handlers<typeof AmphoraServiceService> {
  return {
    getAmphora: unary(({ id }, { caller }) => get(parts, id, caller)),
    listAmphorae: unary((request, { caller }) => list(parts, request, caller)),
    failoverAmphora: unary((request, { caller }) => failoverAmphora(parts, request, caller)),
    confirmFence: unary((request, { caller }) => confirmFence(parts, request, caller)),
    configureAmphora: unary((request, { caller }) => configureAmphora(parts, request, caller)),
    getAmphoraStatistics: unary(({ id }, { caller }) => amphoraStatistics(parts, id, caller)),
  };
}

async function get({ db }: Parts, text: string, caller: Caller): Promise<Message> {
  requireAdmin(caller, 'Reading amphorae');
  return readAmphora(db.reader, readId('id', text));
}

async function list({ db }: Parts, request: ListAmphoraeRequest, caller: Caller): Promise<ListAmphoraeResponse> {
  requireAdmin(caller, 'Listing amphorae');
  const check = new Violations();
  const pageSize = readPageSize(request.pageSize, check);
  const loadBalancerId = check.optionalUuid('load_balancer_id', request.loadBalancerId);
  check.finish();
  const status = wordOf<AmphoraStatus>('AMPHORA_STATUS_', request.status);
  const filters: Filters = { kind: 'amphora', loadBalancerId, status, pageSize: String(pageSize) };
  const after = afterOf(request.pageToken, filters) ?? undefined;
  const filter = { ...(loadBalancerId && { loadBalancerId }), ...(status && { status }) };
  // One more than asked for tells whether there is another page. Pages of the repository end at 1000, so ours do below.
  const size = Math.min(pageSize, LARGEST_PAGE);
  const found = await amphorae.page(db.reader, filter, size + 1, after);
  const page = found.slice(0, size);
  const heartbeats = await lastHeartbeats(
    db.reader,
    page.map(({ id }) => id),
  );
  const last = page.at(-1);
  return {
    amphorae: page.map((amphora) => writeAmphora(amphora, heartbeats.get(amphora.id))),
    nextPageToken: found.length > size && last ? pageToken(last.id, filters) : '',
  };
}

const LARGEST_PAGE = 999;
