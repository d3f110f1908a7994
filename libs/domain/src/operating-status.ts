/** What heartbeats do to operating statuses. Source: Octavia's health manager; departures are named where they are. */
import type { StatusReport } from './heartbeat.ts';
import type { Listener, LoadBalancerTree, Member, Pool } from './objects.ts';
import { isRendered, renderedListeners } from './rendered.ts';
import type { OperatingStatus } from './status.ts';

/** Why a load balancer is DEGRADED though each amphora by itself reports no trouble. */
export const AMPHORAE_DISAGREE = 'AMPHORAE_DISAGREE';

/** One status that is no longer what it was. */
export interface OperatingStatusChange {
  readonly objectKind: 'load_balancer' | 'listener' | 'pool' | 'member';
  readonly objectId: string;
  readonly status: OperatingStatus;
  /** AMPHORAE_DISAGREE, or null: the status says all. */
  readonly reason: typeof AMPHORAE_DISAGREE | null;
}

/** KEEP: a word that says nothing, such as RESTARTING. ABSENT: the report does not name the object. */
type Verdict = OperatingStatus | 'KEEP' | 'ABSENT';

/** Best first. A member that one amphora of a pair reaches is served. */
const BEST: readonly Verdict[] = ['ONLINE', 'NO_MONITOR', 'DRAINING', 'DEGRADED', 'ERROR', 'OFFLINE', 'KEEP', 'ABSENT'];

/**
 * Returns the statuses that change, given the fresh reports of a load balancer's amphorae (one each) and the statuses now.
 * Without a report nothing changes: silence is judged elsewhere. A pair's objects take the best of both reports; where the
 * two differ about an object while nothing is under way, the load balancer is DEGRADED.
 * Pools and members come before the pools that no report names, and the load balancer is last.
 */
export function operatingStatuses(
  tree: LoadBalancerTree,
  reports: readonly StatusReport[],
  current: ReadonlyMap<string, OperatingStatus>,
): OperatingStatusChange[] {
  if (reports.length === 0) return [];
  const judge = new Judge(tree, reports, current);
  for (const listener of tree.listeners) judge.listener(listener);
  const members = Map.groupBy(tree.members, (member) => member.poolId);
  const unseen = tree.pools.filter((pool) => !judge.pool(pool, members.get(pool.id) ?? []));
  for (const pool of unseen) judge.set('pool', pool.id, 'OFFLINE');
  judge.loadBalancer();
  return judge.changes;
}

/** How a report differs from the listeners that the load balancer has. */
export interface ListenerMismatch {
  /** Ids that should be there. */
  readonly missing: readonly string[];
  /** Ids that should not. */
  readonly unexpected: readonly string[];
}

/**
 * Compares a report with the listeners that a configuration has; null when they agree, or while it cannot be told: the load
 * balancer is disabled, or changes are under way. A listener that is itself under way may be there or not. A heartbeat that
 * does not match is not a sign of life. (Octavia compares the number only.)
 * @param options.isShared the amphora serves other load balancers, too: their listeners say nothing
 */
export function listenerMismatch(
  tree: LoadBalancerTree,
  report: StatusReport,
  { isShared = false } = {},
): ListenerMismatch | null {
  const { loadBalancer } = tree;
  if (!loadBalancer.adminStateUp || loadBalancer.provisioningStatus.startsWith('PENDING')) return null;
  const expected = new Map(renderedListeners(tree).map((listener) => [listener.id, listener]));
  const isUnderWay = (listener: Listener | undefined) => listener?.provisioningStatus.startsWith('PENDING') === true;
  const missing = [...expected.values()].filter(
    (listener) => !Object.hasOwn(report.listeners, listener.id) && !isUnderWay(listener),
  );
  const unexpected = Object.keys(report.listeners).filter((id) => {
    const own = tree.listeners.find((listener) => listener.id === id);
    return !expected.has(id) && !isUnderWay(own) && (own !== undefined || !isShared);
  });
  if (missing.length === 0 && unexpected.length === 0) return null;
  return { missing: missing.map((listener) => listener.id), unexpected };
}

class Judge {
  readonly changes: OperatingStatusChange[] = [];
  readonly #tree: LoadBalancerTree;
  readonly #reports: readonly StatusReport[];
  readonly #current: ReadonlyMap<string, OperatingStatus>;
  #result: 'ONLINE' | 'OFFLINE' | 'DEGRADED' | 'ERROR';
  #differs = false;

  constructor(tree: LoadBalancerTree, reports: readonly StatusReport[], current: ReadonlyMap<string, OperatingStatus>) {
    this.#tree = tree;
    this.#reports = reports;
    this.#current = current;
    this.#result = tree.loadBalancer.adminStateUp ? 'ONLINE' : 'OFFLINE';
  }

  listener(listener: Listener): void {
    const verdict = this.#best(this.#reports.map((report) => listenerVerdict(own(report.listeners, listener.id))));
    if (verdict === 'ABSENT') {
      const isExpected = listener.adminStateUp && isRendered(listener);
      const isSettled = this.#tree.loadBalancer.provisioningStatus === 'ACTIVE';
      // A report may be older than the listener: one that was never seen is not missing yet. (Octavia calls it ERROR for a moment.)
      const wasSeen = this.#statusOf(listener.id) !== 'OFFLINE';
      this.set('listener', listener.id, isExpected && isSettled && wasSeen ? 'ERROR' : 'OFFLINE');
    } else if (verdict !== 'KEEP') {
      this.set('listener', listener.id, verdict);
      if (verdict === 'DEGRADED') this.#degrade();
    }
  }

  /** Returns whether any report names the pool. */
  pool(pool: Pool, members: readonly Member[]): boolean {
    const reports = this.#reports.map((report) => own(report.pools, pool.id));
    const verdict = this.#best(reports.map((report) => poolVerdict(report?.status)));
    if (verdict === 'ABSENT') return false;
    let status = verdict;
    if (verdict === 'ERROR') this.#result = 'ERROR';
    for (const member of members) {
      const words = reports.filter((report) => report !== undefined).map((report) => own(report.members, member.id));
      const isDown = this.#member(member, words) === 'ERROR';
      if (isDown && status === 'ONLINE') {
        status = 'DEGRADED';
        this.#degrade();
      }
    }
    if (status !== 'KEEP') this.set('pool', pool.id, status);
    return true;
  }

  loadBalancer(): void {
    const { id, provisioningStatus } = this.#tree.loadBalancer;
    // While a change is under way the amphorae of a pair get it one after the other.
    const disagrees = this.#differs && provisioningStatus === 'ACTIVE' && this.#result === 'ONLINE';
    this.set('load_balancer', id, disagrees ? 'DEGRADED' : this.#result, disagrees ? AMPHORAE_DISAGREE : null);
  }

  set(
    objectKind: OperatingStatusChange['objectKind'],
    objectId: string,
    status: OperatingStatus,
    reason: OperatingStatusChange['reason'] = null,
  ): void {
    if (this.#statusOf(objectId) !== status) this.changes.push({ objectKind, objectId, status, reason });
  }

  /** What was never reported is OFFLINE. */
  #statusOf(objectId: string): OperatingStatus {
    return this.#current.get(objectId) ?? 'OFFLINE';
  }

  #member(member: Member, words: readonly (string | undefined)[]): Verdict {
    const verdict = this.#best(words.map(memberVerdict));
    if (verdict === 'ABSENT') {
      if (this.#current.get(member.id) !== 'NO_MONITOR') this.set('member', member.id, 'OFFLINE');
    } else if (verdict !== 'KEEP') {
      this.set('member', member.id, verdict);
    }
    return verdict;
  }

  #best(verdicts: readonly Verdict[]): Verdict {
    const telling = verdicts.filter((verdict) => verdict !== 'KEEP');
    if (telling.some((verdict) => verdict !== telling[0])) this.#differs = true;
    return BEST.find((verdict) => verdicts.includes(verdict)) ?? 'ABSENT';
  }

  #degrade(): void {
    if (this.#result === 'ONLINE') this.#result = 'DEGRADED';
  }
}

function listenerVerdict(word: string | undefined): Verdict {
  if (word === undefined) return 'ABSENT';
  if (word === 'OPEN') return 'ONLINE';
  return word === 'FULL' ? 'DEGRADED' : 'KEEP';
}

function poolVerdict(word: string | undefined): Verdict {
  if (word === undefined) return 'ABSENT';
  if (word === 'UP') return 'ONLINE';
  return word === 'DOWN' ? 'ERROR' : 'KEEP';
}

function memberVerdict(word: string | undefined): Verdict {
  if (word === undefined) return 'ABSENT';
  if (word.startsWith('UP')) return 'ONLINE';
  if (word.startsWith('DOWN')) return 'ERROR';
  if (word === 'DRAIN') return 'DRAINING';
  if (word === 'MAINT') return 'OFFLINE';
  return word === 'no check' ? 'NO_MONITOR' : 'KEEP';
}

/** A value that the object itself has: keys come from the wire, and `constructor` is one. */
function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
