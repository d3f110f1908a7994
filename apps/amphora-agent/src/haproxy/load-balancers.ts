import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isUuid } from '../uuid.ts';
import { LoadBalancer, type Surroundings } from './load-balancer.ts';

/** Load balancers of one amphora. Octavia puts one on each; colocation some more. */
const MAX_LOAD_BALANCERS = 64;

/** All load balancers of this amphora: each folder of the base path that holds a configuration. */
export class LoadBalancers {
  readonly #around: Surroundings;
  readonly #byId = new Map<string, LoadBalancer>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** Finds what an earlier agent left: uploaded files, and HAProxy processes that still run. */
  adopt(): void {
    const { config, book, log } = this.#around;
    for (const name of existsSync(config.basePath) ? readdirSync(config.basePath) : []) {
      if (isUuid(name) && existsSync(join(config.basePath, name, 'haproxy.cfg'))) this.get(name);
    }
    for (const record of book.readPrevious()) {
      const { loadBalancerId } = record;
      if (!isUuid(loadBalancerId)) continue;
      const isAdopted = this.get(loadBalancerId).adopt(record);
      const context = { 'octavia.load_balancer.id': loadBalancerId, haproxy_pid: record.pid };
      if (isAdopted) log.info(context, 'haproxy of an earlier agent adopted');
      else log.warn(context, 'haproxy of an earlier agent is gone; the controller decides what to do');
    }
  }

  /** The load balancer with this id, known or new. @throws RangeError when there are too many */
  get(id: string): LoadBalancer {
    const known = this.#byId.get(id);
    if (known) return known;
    if (this.#byId.size >= MAX_LOAD_BALANCERS)
      throw new RangeError(`This amphora has ${MAX_LOAD_BALANCERS} load balancers already`);
    const created = new LoadBalancer(id, this.#around);
    this.#byId.set(id, created);
    return created;
  }

  /** The load balancer if it has a configuration. */
  find(id: string): LoadBalancer | null {
    const known = this.#byId.get(id);
    return known?.stored() ? known : null;
  }

  /** Those with a configuration, by id. */
  all(): LoadBalancer[] {
    return [...this.#byId.values()].filter((lb) => lb.stored() !== null).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Whether every HAProxy that should run does, and there is one; and their masters. */
  state(): { readonly isServing: boolean; readonly pids: readonly number[] } {
    const wanted = [...this.#byId.values()].filter((lb) => lb.isWanted);
    const pids = wanted.map((lb) => lb.masterPid).filter((pid) => pid !== null);
    return { isServing: pids.length > 0 && pids.length === wanted.length, pids };
  }

  /** Notices the end of adopted HAProxy processes, which are not the agent's children. */
  noticeDeaths(): void {
    for (const lb of this.#byId.values()) lb.noticeDeath();
  }

  /** Forgets a load balancer whose files are removed. */
  forget(id: string): void {
    this.#byId.delete(id);
  }

  /** Ends every HAProxy of this amphora; their files stay. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#byId.values()].map((lb) => lb.stop()));
  }
}
