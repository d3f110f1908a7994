import { setTimeout as sleep } from 'node:timers/promises';
import { NoopAmphoraDriver, NoopComputeDriver, NoopNetworkDriver } from '@octavia/drivers';

/** Between two strokes, in milliseconds. */
const SHORTEST_MS = 300;
const LONGEST_MS = 2_500;

/** Amphorae of noop drivers, which live and die as real ones: they send heartbeats with what they serve, until something befalls them. */
export class Fates {
  /** Strokes by what they were. */
  readonly tally = new Map<string, number>();
  /** Whose processes are all dead: they are silent for good, and their agents answer nobody. */
  readonly dead = new Set<string>();
  readonly #compute;
  readonly #amphora;
  readonly #network;
  readonly #timeoutMs: number;
  readonly #random: () => number;
  /** Until when heartbeats of an amphora are lost, by performance.now(). */
  readonly #mutedUntil = new Map<string, number>();
  /** Agents that answer nobody for a while. */
  readonly #deaf = new Set<Promise<void>>();
  readonly #over = new AbortController();

  /** @param timeoutMs silence after which an amphora is taken for dead */
  constructor(folder: string, timeoutMs: number, random: () => number) {
    this.#compute = new NoopComputeDriver({ folder });
    this.#amphora = new NoopAmphoraDriver({ folder });
    this.#network = new NoopNetworkDriver({ folder });
    this.#timeoutMs = timeoutMs;
    this.#random = random;
  }

  /** Amphorae whose heartbeats arrive, and the listeners that each serves. */
  async beating(): Promise<ReadonlyMap<string, readonly string[]>> {
    const listeners = await this.#amphora.listeners();
    const now = performance.now();
    const heard = (await this.#living()).filter((id) => (this.#mutedUntil.get(id) ?? 0) <= now);
    return new Map(heard.map((id) => [id, listeners.get(id) ?? []]));
  }

  /** Strikes until `stop`. What was to last for a while is over when it returns; the dead stay dead. */
  async run(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      // Always four numbers for a stroke, so that the next one does not depend on what the last one found.
      const [wait, die, whom, length] = [this.#random(), this.#random(), this.#random(), this.#random()];
      await sleep(SHORTEST_MS + wait * (LONGEST_MS - SHORTEST_MS), undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.#strike(die, whom, length);
    }
    this.#mutedUntil.clear();
    await Promise.all(this.#deaf);
  }

  stop(): void {
    this.#over.abort();
  }

  async #strike(die: number, whom: number, length: number): Promise<void> {
    const living = await this.#living();
    const one = pick(living, whom);
    if (one === undefined) return;
    if (die < 0.4) return this.#kill('amphora dies', [one]);
    if (die < 0.55)
      return this.#kill('all amphorae of a load balancer die', await this.#ofOneLoadBalancer(living, whom));
    if (die < 0.8) return this.#mute('heartbeats of an amphora lost', [one], length * 2 * this.#timeoutMs);
    if (die < 0.95) return this.#deafen(one, length * 2 * this.#timeoutMs);
    return this.#mute('all heartbeats lost', living, length * 1.5 * this.#timeoutMs);
  }

  async #kill(what: string, ids: readonly string[]): Promise<void> {
    if (ids.length > 0) this.#count(what);
    for (const id of ids) {
      this.dead.add(id);
      await this.#amphora.silence(id);
    }
  }

  #mute(what: string, ids: readonly string[], forMs: number): void {
    this.#count(what);
    for (const id of ids) this.#mutedUntil.set(id, performance.now() + forMs);
  }

  async #deafen(id: string, forMs: number): Promise<void> {
    this.#count('agent answers nobody for a while');
    await this.#amphora.silence(id);
    const isOver = sleep(forMs, undefined, { signal: this.#over.signal })
      .catch(() => {})
      .then(() => (this.dead.has(id) ? undefined : this.#amphora.silence(id, false)))
      .finally(() => this.#deaf.delete(isOver));
    this.#deaf.add(isOver);
  }

  /** In the order in which they were made. */
  async #living(): Promise<string[]> {
    const instances = await this.#compute.list();
    return instances
      .flatMap(({ amphoraId, status }) => (status === 'ACTIVE' && !this.dead.has(amphoraId) ? [amphoraId] : []))
      .sort();
  }

  async #ofOneLoadBalancer(living: readonly string[], whom: number): Promise<string[]> {
    const ports = (await this.#network.leftovers()).filter(({ amphoraId }) => living.includes(amphoraId ?? ''));
    const id = pick([...new Set(ports.map(({ loadBalancerId }) => loadBalancerId))].sort(), whom);
    return ports.flatMap((port) => (port.loadBalancerId === id && port.amphoraId !== null ? [port.amphoraId] : []));
  }

  #count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }
}

function pick<T>(all: readonly T[], where: number): T | undefined {
  return all[Math.floor(where * all.length)];
}
