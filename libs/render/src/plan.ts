/** Decides what a configuration contains. What cannot be written is left out here and reported; writing then never fails. */
import type {
  HealthMonitor,
  Intent,
  Listener,
  LoadBalancerTree,
  Member,
  ObjectKind,
  Pool,
  UnrenderableReason,
} from '@octavia/domain';
import { isRendered, renderedListeners } from '@octavia/domain';
import { listenerFault, memberFault, monitorFault, type PairFault, poolFault } from './stored-values.ts';
import { isAddress } from './text.ts';

/** An object that was left out, and why. The caller puts it in ERROR with this reason. */
export interface Problem {
  readonly objectKind: ObjectKind;
  readonly objectId: string;
  readonly reason: UnrenderableReason;
  /** For a person: what to change. */
  readonly message: string;
}

export interface PoolPlan {
  readonly pool: Pool;
  readonly members: readonly Member[];
  /** Null: none, or a disabled one. */
  readonly monitor: HealthMonitor | null;
}

export interface ListenerPlan {
  readonly listener: Listener;
  readonly mode: 'http' | 'tcp';
  /** Null: none, or a disabled one. */
  readonly pool: PoolPlan | null;
}

export interface Plan {
  readonly vip: string;
  /** Enabled ones, also of a disabled load balancer: the limit of the whole process is their sum. */
  readonly enabledListeners: readonly Listener[];
  /** Those that are written. */
  readonly listeners: readonly ListenerPlan[];
  readonly problems: readonly Problem[];
}

/** Selects what is written for a load balancer, in the order in which it is written. */
export function planOf(tree: LoadBalancerTree): Plan {
  const problems: Problem[] = [];
  const usable = <T extends Intent>(kind: ObjectKind, objects: readonly T[], fault: (object: T) => PairFault): T[] =>
    objects
      .filter((object) => isRendered(object))
      .sort(byAge)
      .filter((object) => keep(kind, object, fault(object), problems));

  const vip = tree.loadBalancer.vip.address ?? '';
  if (vip !== '' && !isAddress(vip)) {
    keep('load_balancer', tree.loadBalancer, ['BAD_STORED_VALUE', 'vip.address must be an IP address'], problems);
  }
  const pools = usable('pool', tree.pools, poolFault);
  const members = Map.groupBy(usable('member', tree.members, memberFault), (member) => member.poolId);
  const monitors = usable('health_monitor', tree.healthMonitors, monitorFault);
  const planPool = (id: string | null): PoolPlan | null => {
    const pool = pools.find((candidate) => candidate.id === id && candidate.adminStateUp);
    if (!pool) return null;
    const monitor = monitors.find((candidate) => candidate.poolId === pool.id && candidate.adminStateUp);
    return { pool, members: members.get(pool.id) ?? [], monitor: monitor ?? null };
  };
  const poolOf = (listener: Listener) => pools.find((pool) => pool.id === listener.defaultPoolId);
  const enabledListeners = usable(
    'listener',
    tree.listeners.filter((listener) => listener.adminStateUp),
    (listener) => listenerFault(listener, poolOf(listener)),
  );
  const written = renderedListeners({ loadBalancer: tree.loadBalancer, listeners: enabledListeners });
  return {
    vip,
    enabledListeners,
    // Without an address, which the create flow finds out first, there is nothing to bind.
    listeners: (isAddress(vip) ? written : []).map((listener) => ({
      listener,
      mode: listener.protocol === 'HTTP' ? 'http' : 'tcp',
      pool: planPool(listener.defaultPoolId),
    })),
    problems,
  };
}

/** Oldest first: a fixed order keeps `balance source` and stick tables the same on both amphorae of a pair. */
function byAge(a: Intent, b: Intent): number {
  return a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : 1);
}

function keep(objectKind: ObjectKind, object: Intent, fault: PairFault, problems: Problem[]): boolean {
  if (!fault) return true;
  const [reason, message] = fault;
  problems.push({ objectKind, objectId: object.id, reason, message });
  return false;
}
