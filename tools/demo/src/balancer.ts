import { randomUUID } from 'node:crypto';
import {
  type Amphora,
  AmphoraStatus,
  CreateHealthMonitorRequest,
  CreateListenerRequest,
  CreateLoadBalancerRequest,
  CreateMemberRequest,
  CreatePoolRequest,
  HealthMonitorType,
  LbAlgorithm,
  type LoadBalancer,
  type LoadBalancerStatusTree,
  Protocol,
} from '@octavia/proto';
import { RemoteError } from '@octavia/service';
import type { Api } from './api.ts';
import { Problem } from './problem.ts';
import { until } from './wait.ts';

/** What marks the load balancers of demos. */
const TAG = 'octavia-demo';
/** The port of the listener. */
export const PORT = 8080;
/** Settling takes under a second; this is five times the longest that was seen. */
const SETTLE_LIMIT_MS = 30_000;
/** Deadline of a flow with local drivers. */
const DELETE_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 20;

/** The load balancer of this demo. */
export class Balancer {
  readonly id: string;
  readonly vip: string;
  readonly #api: Api;
  readonly #signal: AbortSignal;
  /** Milliseconds that the calls took until all were answered. */
  answeredMs = 0;
  #memberIds: ReadonlyMap<string, string> = new Map();

  constructor(api: Api, lb: LoadBalancer, signal: AbortSignal) {
    this.#api = api;
    this.#signal = signal;
    this.id = lb.id;
    this.vip = lb.vipAddress;
  }

  /** Asks for the load balancer alone. Returns as soon as the call is answered. */
  static async create(api: Api, signal: AbortSignal): Promise<Balancer> {
    const loadBalancer = { name: `demo-${process.pid}`, tags: [TAG, `pid-${process.pid}`] };
    const request = CreateLoadBalancerRequest.create({ loadBalancer, requestId: randomUUID() });
    return new Balancer(api, await api.createLoadBalancer(request, api.as), signal);
  }

  /**
   * Asks for listener, pool, members and health monitor, without waiting for anything to be in place: a busy load balancer takes
   * changes. Returns the number of calls.
   */
  async addAll(servers: readonly { readonly name: string; readonly port: number }[]): Promise<number> {
    const { as } = this.#api;
    const listener = { loadBalancerId: this.id, name: 'http', protocol: Protocol.HTTP, protocolPort: PORT };
    const { id: listenerId } = await this.#api.createListener(
      CreateListenerRequest.create({ listener, requestId: randomUUID() }),
      as,
    );
    const pool = { name: 'web', protocol: Protocol.HTTP, lbAlgorithm: LbAlgorithm.ROUND_ROBIN };
    const { id: poolId } = await this.#api.createPool(
      CreatePoolRequest.create({ pool, listenerId, requestId: randomUUID() }),
      as,
    );
    const ids = new Map<string, string>();
    for (const { name, port } of servers) {
      const member = { poolId, name, address: '127.0.0.1', protocolPort: port };
      const made = await this.#api.createMember(CreateMemberRequest.create({ member, requestId: randomUUID() }), as);
      ids.set(name, made.id);
    }
    this.#memberIds = ids;
    const healthMonitor = {
      poolId,
      type: HealthMonitorType.HTTP,
      delay: 1,
      timeout: 1,
      maxRetries: 2,
      maxRetriesDown: 2,
    };
    await this.#api.createHealthMonitor(
      CreateHealthMonitorRequest.create({ healthMonitor, requestId: randomUUID() }),
      as,
    );
    return 3 + servers.length;
  }

  tree(): Promise<LoadBalancerStatusTree> {
    return this.#api.getLoadBalancerStatusTree({ id: this.id }, this.#api.as);
  }

  /** Waits until everything that was asked for is in place. @throws Problem when something ends in ERROR */
  async active(): Promise<void> {
    await this.#until('everything is ACTIVE', SETTLE_LIMIT_MS, async () => {
      const { loadBalancer, listeners, pools, members, healthMonitors } = await this.tree();
      const all = [loadBalancer, ...listeners, ...pools, ...members, ...healthMonitors];
      for (const object of all) {
        if (object?.provisioningStatus !== 'PROVISIONING_STATUS_ERROR') continue;
        throw new Problem(`${object.id} ended in ERROR: ${object.statusDetail?.message}`);
      }
      return all.every((object) => object?.provisioningStatus === 'PROVISIONING_STATUS_ACTIVE') || undefined;
    });
  }

  /** Waits until a member and the load balancer have these operating statuses. Returns how long each took, in milliseconds. */
  async statuses(
    member: string,
    memberStatus: string,
    status: string,
    limitMs: number,
  ): Promise<{ readonly memberMs: number; readonly loadBalancerMs: number }> {
    let memberMs: number | undefined;
    const startedAt = performance.now();
    const what = `member ${member} is ${memberStatus} and the load balancer ${status}`;
    const { ms } = await this.#until(what, limitMs, async () => {
      const { members, loadBalancer } = await this.tree();
      const found = members.find(({ id }) => id === this.#memberIds.get(member));
      if (wordOf(found) === memberStatus) memberMs ??= Math.round(performance.now() - startedAt);
      return (memberMs !== undefined && wordOf(loadBalancer) === status) || undefined;
    });
    return { memberMs: memberMs ?? ms, loadBalancerMs: ms };
  }

  /** Waits until everything is ONLINE. */
  async online(): Promise<void> {
    await this.#until('everything is ONLINE', SETTLE_LIMIT_MS, async () => {
      const { loadBalancer, listeners, pools, members } = await this.tree();
      return [loadBalancer, ...listeners, ...pools, ...members].every((one) => wordOf(one) === 'ONLINE') || undefined;
    });
  }

  /** The amphora that serves. */
  async amphora(): Promise<Amphora | undefined> {
    const request = { loadBalancerId: this.id, status: AmphoraStatus.ALLOCATED, pageSize: 10, pageToken: '' };
    return (await this.#api.listAmphorae(request, this.#api.as)).amphorae[0];
  }

  delete(): Promise<void> {
    return deleteAndWait(this.#api, this.id);
  }

  #until<T>(what: string, limitMs: number, look: () => Promise<T | undefined>) {
    return until({ what, limitMs, everyMs: LOOK_EVERY_MS, signal: this.#signal }, look);
  }
}

function wordOf(object: { readonly operatingStatus: string } | undefined): string {
  return object?.operatingStatus.replace('OPERATING_STATUS_', '') ?? 'gone';
}

/** Deletes load balancers of demos that were killed before they could. Returns how many. */
export async function deleteLeftovers(api: Api): Promise<number> {
  const request = { projectId: '', pageSize: 1000, pageToken: '', name: '' };
  const { loadBalancers } = await api.listLoadBalancers(request, api.as);
  const left = loadBalancers.filter(({ tags }) => tags.includes(TAG) && !tags.some(isOfLivingProcess));
  for (const { id } of left) await deleteAndWait(api, id);
  return left.length;
}

function isOfLivingProcess(tag: string): boolean {
  const [, pid] = /^pid-(\d+)$/.exec(tag) ?? [];
  if (pid === undefined) return false;
  try {
    return process.kill(Number(pid), 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function deleteAndWait(api: Api, id: string): Promise<void> {
  const request = { id, cascade: true, etag: '', requestId: randomUUID() };
  // Cleaning up goes on when the demo was interrupted.
  const signal = new AbortController().signal;
  try {
    await api.deleteLoadBalancer(request, api.as);
    const wait = { what: 'the load balancer is deleted', limitMs: DELETE_LIMIT_MS, everyMs: LOOK_EVERY_MS, signal };
    await until(wait, async () => {
      const { provisioningStatus, statusDetail } = await api.getLoadBalancer({ id }, api.as);
      if (provisioningStatus === 'PROVISIONING_STATUS_ERROR') throw new Problem(`It stays: ${statusDetail?.message}`);
      return provisioningStatus === 'PROVISIONING_STATUS_DELETED' || undefined;
    });
  } catch (error) {
    if (!(error instanceof RemoteError && error.kind === 'missing')) throw error;
  }
}
