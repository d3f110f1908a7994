import type { RecordedResource, Tx } from '@octavia/db';
import { type CallContext, InstanceNotFoundError, type Leftover } from '@octavia/drivers';
import type { World } from './world.ts';

/** Something that only one side knows: the world outside, or the database. */
export interface Orphan {
  /** OUTSIDE: it exists, and nobody needs it. RECORDED: a row says that it exists. */
  readonly side: 'OUTSIDE' | 'RECORDED';
  /** Whose it is: a kind of driver, or the database. */
  readonly of: 'compute' | 'network' | 'database';
  readonly kind: string;
  readonly name: string;
  readonly amphoraId: string | null;
  readonly loadBalancerId: string | null;
  /** Null: not known; it counts as old. */
  readonly ageMs: number | null;
  /** For a person: why it is here, and what becomes of it. */
  readonly message: string;
}

export interface Found {
  readonly orphans: readonly Orphan[];
  /** Whether there are more. */
  readonly isTruncated: boolean;
}

type Seekers = Pick<World, 'compute' | 'network' | 'orphans'>;

/** Most that one search tells: the next one finds the rest. */
const MOST_FOUND = 1_000;
/** Instances of living amphorae that are asked for one by one, because no list has them. */
const MOST_ASKED = 100;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Compares what the drivers have made with the rows, both ways. Rows come first into the world, so the world is read first; and they
 * leave it last, so what no row knows is looked for once more. @param graceMs what is younger is left out @throws as the drivers do
 */
export async function findOrphans(world: Seekers, reader: Tx, graceMs: number, call: CallContext): Promise<Found> {
  const outside = await everythingOutside(world, call);
  const unknown = await unknownOwners(world, reader, outside);
  const ofNobody = await stillThere(
    outside.filter((one) => isOfNobody(one, unknown)),
    world,
    call,
  );
  const all = [
    ...ofNobody.map((one): Orphan => ({ ...one, side: 'OUTSIDE', message: whyOutside(one, unknown) })),
    ...(await recordedOnly(world, reader, outside, call)),
    ...(await secretsOf(world, reader)),
  ];
  const old = all.filter((one) => (one.ageMs ?? ageOf(one)) >= graceMs);
  return { orphans: old.slice(0, MOST_FOUND), isTruncated: old.length > MOST_FOUND };
}

type Outside = Leftover & Pick<Orphan, 'of'>;

async function everythingOutside({ compute, network }: Seekers, call: CallContext): Promise<Outside[]> {
  return [
    ...(await compute.leftovers(call)).map((one) => ({ ...one, of: 'compute' as const })),
    ...(await network.leftovers(call)).map((one) => ({ ...one, of: 'network' as const })),
  ];
}

/** Without what has been deleted since it was seen. */
async function stillThere(seen: readonly Outside[], world: Seekers, call: CallContext): Promise<Outside[]> {
  if (seen.length === 0) return [];
  const key = ({ of, kind, name }: Outside) => `${of} ${kind} ${name}`;
  const now = new Set((await everythingOutside(world, call)).map(key));
  return seen.filter((one) => now.has(key(one)));
}

/** How many there are of each kind. */
export function countByKind(orphans: readonly Orphan[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of orphans) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Names a load balancer on an amphora. */
function seatOf({ amphoraId, loadBalancerId }: Pick<Leftover, 'amphoraId' | 'loadBalancerId'>): string {
  return `${loadBalancerId} ${amphoraId}`;
}

/** Ids of amphorae and load balancers that are not there, and of load balancers on amphorae. What is no id belongs to nobody. */
async function unknownOwners(
  { orphans }: Pick<World, 'orphans'>,
  reader: Tx,
  outside: readonly Leftover[],
): Promise<ReadonlySet<string>> {
  const ids = (of: (one: Leftover) => string | null) => [...new Set(outside.flatMap((one) => of(one) ?? []))];
  const amphorae = ids(({ amphoraId }) => amphoraId);
  const loadBalancers = ids(({ loadBalancerId }) => loadBalancerId);
  const isUuid = (id: string) => UUID.test(id);
  const pairs = outside.flatMap(({ amphoraId, loadBalancerId }) =>
    amphoraId !== null && loadBalancerId !== null && isUuid(amphoraId) && isUuid(loadBalancerId)
      ? [{ amphoraId, loadBalancerId }]
      : [],
  );
  return new Set([
    ...(await orphans.unseated(reader, pairs)).map(seatOf),
    ...(await orphans.unknownAmphorae(reader, amphorae.filter(isUuid))),
    ...(await orphans.unknownLoadBalancers(reader, loadBalancers.filter(isUuid))),
    ...[...amphorae, ...loadBalancers].filter((id) => !isUuid(id)),
  ]);
}

function isOfNobody(leftover: Leftover, unknown: ReadonlySet<string>): boolean {
  const { amphoraId, loadBalancerId } = leftover;
  if (amphoraId === null && loadBalancerId === null) return true;
  if (unknown.has(seatOf(leftover))) return true;
  return (amphoraId !== null && unknown.has(amphoraId)) || (loadBalancerId !== null && unknown.has(loadBalancerId));
}

function whyOutside(leftover: Leftover, unknown: ReadonlySet<string>): string {
  const { amphoraId, loadBalancerId } = leftover;
  if (amphoraId !== null && unknown.has(amphoraId)) return 'There is no such amphora, or it is DELETED. It is removed.';
  if (loadBalancerId !== null && unknown.has(loadBalancerId))
    return 'There is no such load balancer, or it is DELETED. It is removed.';
  if (unknown.has(seatOf(leftover))) return 'The load balancer is not on this amphora. It is removed.';
  return 'It belongs to nothing that could be told. It is removed.';
}

/** Records of what is not outside: of amphorae that are gone, and of living ones whose instance has vanished. */
async function recordedOnly(
  { compute, orphans }: Seekers,
  reader: Tx,
  outside: readonly Outside[],
  call: CallContext,
): Promise<Orphan[]> {
  const idsOf = (of: Orphan['of']) =>
    new Set(outside.flatMap((one) => (one.of === of && one.amphoraId !== null ? [one.amphoraId] : [])));
  const [instances, ports] = [idsOf('compute'), idsOf('network')];
  const isThere = ({ kind, amphoraId }: RecordedResource) =>
    amphoraId !== null && (kind === 'instance' ? instances : ports).has(amphoraId);
  const missing = (await orphans.recorded(reader)).filter((record) => !isThere(record));
  const left = missing.filter(({ amphora }) => amphora === 'GONE').map((record) => recordOf(record, LEFT_BEHIND));
  const vanished: RecordedResource[] = [];
  for (const record of missing.filter((one) => isVanished(one, compute.name)).slice(0, MOST_ASKED)) {
    const isGone = await compute.get({ computeId: record.computeId }, call).then(
      () => false,
      (error: unknown) => error instanceof InstanceNotFoundError,
    );
    if (isGone) vanished.push(record);
  }
  if (vanished.length === 0) return left;
  // Some of them may be on their way out by now.
  const living = new Set(
    (await orphans.recorded(reader)).flatMap((one) => (one.amphora === 'LIVING' ? [one.name] : [])),
  );
  return [...left, ...vanished.filter(({ name }) => living.has(name)).map((record) => recordOf(record, VANISHED))];
}

const LEFT_BEHIND =
  'Its amphora is DELETED, and it was out of reach then. It is forgotten when it is gone for certain.';
const VANISHED = 'The instance of a living amphora is gone: the amphora is replaced when it is silent.';

/** Whether the instance of a record should be there: what is built or deleted just now is not. */
function isVanished(record: RecordedResource, driver: string): record is RecordedResource & { computeId: string } {
  const { amphora, kind, computeId } = record;
  return amphora === 'LIVING' && kind === 'instance' && computeId !== null && record.driver === driver;
}

function recordOf({ kind, name, amphoraId, loadBalancerId, ageMs }: RecordedResource, message: string): Orphan {
  return { side: 'RECORDED', of: 'database', kind, name, amphoraId, loadBalancerId, ageMs, message };
}

async function secretsOf({ orphans }: Pick<World, 'orphans'>, reader: Tx): Promise<Orphan[]> {
  return (await orphans.secrets(reader)).map(({ kind, amphoraId, ageMs }) => ({
    side: 'RECORDED',
    of: 'database',
    kind: 'secret',
    name: kind,
    amphoraId,
    loadBalancerId: null,
    ageMs,
    message: 'A secret of an amphora that is DELETED. It is removed.',
  }));
}

/** How long ago its owner's id was made: version 7 begins with its time, in milliseconds. Others are old. */
function ageOf({ amphoraId, loadBalancerId }: Orphan): number {
  const id = amphoraId ?? loadBalancerId ?? '';
  const isVersion7 = id[14] === '7';
  return isVersion7 ? Date.now() - Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16) : Number.POSITIVE_INFINITY;
}
