import {
  HealthMonitors,
  Listeners,
  LoadBalancers,
  Members,
  type NewRevision,
  Pools,
  Quotas,
  Revisions,
  type Tx,
} from '@octavia/db';
import {
  changed,
  deletionOf,
  deltaOf,
  type Listener,
  type LoadBalancer,
  type Member,
  type ObjectKind,
  type Pool,
  poolDeletionOf,
} from '@octavia/domain';
import { updateLoadBalancer } from '@octavia/flows';
import { v7 as uuidv7 } from 'uuid';
import { requester, type TestWorld } from './world.ts';

const by = { author: 'user', requestId: 'request' };
const repositories = { listener: new Listeners(), pool: new Pools(), member: new Members() };
const healthMonitors = new HealthMonitors();
const loadBalancers = new LoadBalancers();
const revisions = new Revisions();
const quotas = new Quotas();

type Kind = keyof typeof repositories;

/** What callers do to a load balancer, as the gateway writes it down. */
export class Callers {
  readonly #world: TestWorld;
  readonly #loadBalancerId: string;

  constructor(world: TestWorld, loadBalancerId: string) {
    this.#world = world;
    this.#loadBalancerId = loadBalancerId;
  }

  /** Several changes in one transaction, so that one push folds them all. */
  together(work: (tx: Tx) => Promise<void>): Promise<void> {
    return this.#world.db.transaction(work);
  }

  addListener(port: number, more: Partial<Listener> = {}, tx?: Tx): Promise<string> {
    return this.#add('listener', tx, (base) => ({
      ...base,
      description: '',
      protocol: 'HTTP',
      protocolPort: port,
      connectionLimit: -1,
      defaultPoolId: null,
      insertHeaders: {},
      timeoutClientData: 50_000,
      timeoutMemberConnect: 5_000,
      timeoutMemberData: 50_000,
      timeoutTcpInspect: 0,
      ...more,
    }));
  }

  addPool(more: Partial<Pool> = {}, tx?: Tx): Promise<string> {
    return this.#add('pool', tx, (base) => ({
      ...base,
      description: '',
      protocol: 'HTTP',
      lbAlgorithm: 'ROUND_ROBIN',
      sessionPersistence: null,
      ...more,
    }));
  }

  addMember(poolId: string, address: string, more: Partial<Member> = {}, tx?: Tx): Promise<string> {
    return this.#add('member', tx, (base) => ({
      ...base,
      poolId,
      address,
      protocolPort: 80,
      weight: 1,
      backup: false,
      subnetId: null,
      monitorAddress: null,
      monitorPort: null,
      ...more,
    }));
  }

  change(kind: Kind, id: string, fields: Partial<Listener & Pool & Member>, tx?: Tx): Promise<void> {
    return this.#in(tx, async (within) => {
      const repository = repositories[kind] as Listeners;
      const { loadBalancer, object } = await repository.begin(within, id, null);
      const written = { ...fields, provisioningStatus: changed(object) };
      const updated = await repository.update(within, loadBalancer, id, written, by);
      const changes = deltaOf(object, updated);
      await this.#push(within, loadBalancer, { objectKind: kind, objectId: id, action: 'UPDATE', changes });
    });
  }

  delete(kind: Kind, id: string, tx?: Tx): Promise<void> {
    return this.#in(tx, async (within) => {
      const { loadBalancer } = await repositories[kind].begin(within, id, null);
      const detached = kind === 'pool' ? await repositories.listener.detachPool(within, loadBalancer, id, by) : [];
      const [gone] = await repositories[kind].markDeleting(within, loadBalancer, by, 'id', id);
      const below = async (repository: Members | HealthMonitors) =>
        kind === 'pool' ? await repository.markDeleting(within, loadBalancer, by, 'pool_id', id) : [];
      const goneBelow = {
        listenerIds: detached.map((listener) => listener.id),
        members: await below(repositories.member),
        healthMonitors: await below(healthMonitors),
      };
      const changes = kind === 'pool' ? poolDeletionOf(gone ?? {}, goneBelow) : deletionOf(gone ?? {});
      await this.#push(within, loadBalancer, { objectKind: kind, objectId: id, action: 'DELETE', changes });
    });
  }

  #add(kind: Kind, tx: Tx | undefined, values: (base: object) => object): Promise<string> {
    const id = uuidv7();
    return this.#in(tx, async (within) => {
      const begun = await loadBalancers.begin(within, 'update', this.#loadBalancerId, null);
      const base = {
        id,
        projectId: 'project',
        ...by,
        name: `${kind} ${id}`,
        adminStateUp: true,
        tags: [],
        provisioningStatus: 'PENDING_CREATE',
        fault: null,
        revision: begun.desiredRevision,
        appliedRevision: 0,
        loadBalancerId: begun.id,
      };
      const created = await repositories[kind].insert(within, values(base) as never);
      await quotas.reserve(within, 'project', kind as ObjectKind, 1, -1);
      const changes = deltaOf(null, created);
      await this.#push(within, begun, { objectKind: kind, objectId: id, action: 'CREATE', changes });
      return id;
    });
  }

  #in<T>(tx: Tx | undefined, work: (tx: Tx) => Promise<T>): Promise<T> {
    return tx ? work(tx) : this.#world.db.transaction(work);
  }

  async #push(tx: Tx, begun: LoadBalancer, revision: NewRevision): Promise<void> {
    await revisions.append(tx, begun, revision, by);
    await this.#world.flows.ensurePush(tx, updateLoadBalancer(begun.id, requester));
  }
}
