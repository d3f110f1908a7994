import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AmphoraServiceClient,
  Listener,
  ListenerServiceClient,
  LoadBalancer,
  LoadBalancerServiceClient,
  Member,
  MemberServiceClient,
  Pool,
  PoolServiceClient,
} from '@octavia/proto';
import { type CallOptions, type RpcClientOptions, rpcClient } from '@octavia/service';
import type { Wish } from './offers.ts';

/** Answers that say: not now, not this, not any more. All others are bugs of ours. */
const EXPECTED = new Set(['missing', 'exists', 'conflict', 'state', 'quota', 'unavailable']);
/** While the gateway or the database is away a call is repeated with its request id, in milliseconds. */
const REPEAT_MS = 200;
const CALL_LIMIT_MS = 20_000;
const MAX_LOAD_BALANCERS = 3;
const MAX_CHILDREN = 6;
const FIRST_PORT = 1_024;

interface Owned {
  readonly id: string;
  /** Listeners, each with its pool, and the members of that. */
  readonly listeners: Map<string, { readonly pool: string; readonly members: Set<string> }>;
}

/** What was answered, and so must be true at the end. */
export interface Promised {
  readonly loadBalancers: readonly string[];
  readonly deletedLoadBalancers: readonly string[];
  readonly children: readonly string[];
}

/** One caller of its own project, who does random things to his load balancers, and remembers what he was told. */
export class StormClient {
  readonly projectId: string;
  /** Calls by what became of them. */
  readonly tally = new Map<string, number>();
  /** What nobody may be answered. */
  readonly bugs: string[] = [];
  readonly #random: () => number;
  readonly #wishes: readonly Wish[];
  readonly #loadBalancers;
  readonly #listeners;
  readonly #pools;
  readonly #members;
  readonly #amphorae;
  readonly #owned = new Map<string, Owned>();
  readonly #deleted: string[] = [];
  #isOver = false;

  constructor(
    name: string,
    random: () => number,
    wishes: readonly Wish[],
    { address, tls }: { readonly address: string; readonly tls: RpcClientOptions },
  ) {
    this.projectId = name;
    this.#random = random;
    this.#wishes = wishes;
    this.#loadBalancers = rpcClient(LoadBalancerServiceClient, address, tls);
    this.#listeners = rpcClient(ListenerServiceClient, address, tls);
    this.#pools = rpcClient(PoolServiceClient, address, tls);
    this.#members = rpcClient(MemberServiceClient, address, tls);
    this.#amphorae = rpcClient(AmphoraServiceClient, address, tls);
  }

  /** Until `stop`; the call under way is repeated until it is answered. */
  async run(): Promise<void> {
    while (!this.#isOver) {
      await this.#something();
      await sleep(this.#random() * 100);
    }
  }

  stop(): void {
    this.#isOver = true;
  }

  close(): void {
    for (const client of [this.#loadBalancers, this.#listeners, this.#pools, this.#members, this.#amphorae])
      client.close();
  }

  get promised(): Promised {
    const owned = [...this.#owned.values()];
    return {
      loadBalancers: owned.map(({ id }) => id),
      deletedLoadBalancers: this.#deleted,
      children: owned.flatMap(({ listeners }) =>
        [...listeners].flatMap(([id, { pool, members }]) => [id, pool, ...members]),
      ),
    };
  }

  async #something(): Promise<void> {
    const lb = this.#pick([...this.#owned.values()]);
    if (!lb) return this.#create();
    const die = this.#random();
    if (die < 0.08) return this.#create();
    if (die < 0.13) return this.#delete(lb);
    if (die < 0.3) return this.#addListener(lb);
    if (die < 0.38) return this.#removeListener(lb);
    if (die < 0.62) return this.#addMember(lb);
    if (die < 0.75) return this.#removeMember(lb);
    if (die < 0.93) return this.#rename(lb);
    if (die < 0.96) return this.#failoverAmphora(lb);
    return void (await this.#call('failover', (requestId, options) =>
      this.#loadBalancers.failoverLoadBalancer({ id: lb.id, requestId }, options),
    ));
  }

  async #create(): Promise<void> {
    if (this.#owned.size >= MAX_LOAD_BALANCERS) return;
    const loadBalancer = LoadBalancer.fromPartial(this.#pick(this.#wishes) ?? {});
    const made = await this.#call('create', (requestId, options) =>
      this.#loadBalancers.createLoadBalancer({ loadBalancer, requestId }, options),
    );
    if (made) this.#owned.set(made.id, { id: made.id, listeners: new Map() });
  }

  async #delete({ id }: Owned): Promise<void> {
    const request = { id, cascade: true, etag: '' };
    const isDone = await this.#call('delete', (requestId, options) =>
      this.#loadBalancers.deleteLoadBalancer({ ...request, requestId }, options),
    );
    if (!isDone) return;
    this.#owned.delete(id);
    this.#deleted.push(id);
  }

  async #rename({ id }: Owned): Promise<void> {
    const loadBalancer = LoadBalancer.fromPartial({ id, name: `storm ${Math.floor(this.#random() * 1e6)}` });
    await this.#call('update', (requestId, options) =>
      this.#loadBalancers.updateLoadBalancer({ loadBalancer, updateMask: ['name'], requestId }, options),
    );
  }

  async #addListener(lb: Owned): Promise<void> {
    if (lb.listeners.size >= MAX_CHILDREN) return;
    const protocolPort = FIRST_PORT + Math.floor(this.#random() * 60_000);
    const listener = Listener.fromPartial({ loadBalancerId: lb.id, protocol: 'PROTOCOL_HTTP', protocolPort });
    const made = await this.#call('listener create', (requestId, options) =>
      this.#listeners.createListener({ listener, requestId }, options),
    );
    if (!made) return;
    const pool = Pool.fromPartial({ protocol: 'PROTOCOL_HTTP', lbAlgorithm: 'LB_ALGORITHM_ROUND_ROBIN' });
    const madePool = await this.#call('pool create', (requestId, options) =>
      this.#pools.createPool({ pool, listenerId: made.id, requestId }, options),
    );
    if (madePool) lb.listeners.set(made.id, { pool: madePool.id, members: new Set() });
  }

  async #removeListener(lb: Owned): Promise<void> {
    const entry = this.#pick([...lb.listeners]);
    if (!entry) return;
    const [id, { pool }] = entry;
    lb.listeners.delete(id);
    await this.#call('listener delete', (requestId, options) =>
      this.#listeners.deleteListener({ id, etag: '', requestId }, options),
    );
    await this.#call('pool delete', (requestId, options) =>
      this.#pools.deletePool({ id: pool, etag: '', requestId }, options),
    );
  }

  async #addMember(lb: Owned): Promise<void> {
    const [, entry] = this.#pick([...lb.listeners]) ?? [];
    if (!entry || entry.members.size >= MAX_CHILDREN) return;
    const protocolPort = FIRST_PORT + Math.floor(this.#random() * 60_000);
    const member = Member.fromPartial({ poolId: entry.pool, address: '127.0.0.1', protocolPort });
    const made = await this.#call('member create', (requestId, options) =>
      this.#members.createMember({ member, requestId }, options),
    );
    if (made) entry.members.add(made.id);
  }

  async #removeMember(lb: Owned): Promise<void> {
    const [, entry] = this.#pick([...lb.listeners]) ?? [];
    const id = entry && this.#pick([...entry.members]);
    if (!entry || !id) return;
    entry.members.delete(id);
    await this.#call('member delete', (requestId, options) =>
      this.#members.deleteMember({ id, etag: '', requestId }, options),
    );
  }

  async #failoverAmphora({ id }: Owned): Promise<void> {
    const request = { pageSize: 10, pageToken: '', loadBalancerId: id, status: 'AMPHORA_STATUS_ALLOCATED' as const };
    const found = await this.#call('amphora list', (_, options) => this.#amphorae.listAmphorae(request, options));
    const amphora = this.#pick(found?.amphorae ?? []);
    if (!amphora) return;
    await this.#call('amphora failover', (requestId, options) =>
      this.#amphorae.failoverAmphora({ id: amphora.id, requestId }, options),
    );
  }

  /** The answer; null where it was refused. Unanswered, it is asked again with the same request id. */
  async #call<T>(name: string, work: (requestId: string, options: CallOptions) => Promise<T>): Promise<T | null> {
    const requestId = randomUUID();
    const caller = { projectId: this.projectId, userId: 'storm', roles: ['admin'] };
    for (;;) {
      try {
        const answer = await work(requestId, { caller, deadlineMs: CALL_LIMIT_MS });
        this.#count(`${name}: done`);
        return answer;
      } catch (error) {
        const { kind, reason, message } = error as { kind?: string; reason?: string; message?: string };
        this.#count(`${name}: ${reason ?? kind ?? 'unknown'}`);
        if (!kind || !EXPECTED.has(kind)) {
          this.bugs.push(`${name} (${requestId}): ${kind} ${reason} ${message}`);
          return null;
        }
        if (kind !== 'unavailable') return null;
        await sleep(REPEAT_MS);
      }
    }
  }

  #pick<T>(all: readonly T[]): T | undefined {
    return all[Math.floor(this.#random() * all.length)];
  }

  #count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }
}
