import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { AmphoraSeen } from './api.ts';
import type { Installation } from './installation.ts';

/** Time between two looks at everything, for all who wait: the resolution of how long repairs take, in milliseconds. */
const LOOK_MS = 100;
/** A heartbeat comes each second and is told to the second; the database has it a moment later. */
const HEARD_WITHIN_MS = 4_000;

/** What somebody waits for: it is there, or what is missing yet. */
export type Found<T> = { readonly found: T } | { readonly missing: string };

/** One look at all load balancers and amphorae. */
export class Look {
  readonly #amphorae: readonly AmphoraSeen[];
  readonly #loadBalancers: ReadonlyMap<string, LoadBalancerRow>;

  constructor(amphorae: readonly AmphoraSeen[], loadBalancers: readonly LoadBalancerRow[]) {
    this.#amphorae = amphorae;
    this.#loadBalancers = new Map(loadBalancers.map((row) => [row.id, row]));
  }

  get spares(): number {
    return this.#amphorae.filter(({ status }) => status === 'AMPHORA_STATUS_READY').length;
  }

  /** Amphorae of a load balancer, and what it still lacks to be whole: ACTIVE, no flow open, all amphorae heard. */
  of(
    id: string,
    size: number,
    gone: readonly string[],
  ): { readonly amphorae: string[]; readonly missing: string | null } {
    const mine = this.#amphorae.filter((one) => one.loadBalancerId === id && one.status === 'AMPHORA_STATUS_ALLOCATED');
    return { amphorae: mine.map((one) => one.id), missing: this.#missing(id, mine, size, gone) };
  }

  #missing(id: string, mine: readonly AmphoraSeen[], size: number, gone: readonly string[]): string | null {
    const row = this.#loadBalancers.get(id);
    if (row?.status !== 'ACTIVE') return `it is ${row?.status}`;
    if (row.flows !== null) return `open flows: ${row.flows}`;
    if (mine.length !== size) return `it has ${mine.length} amphorae`;
    if (mine.some((one) => gone.includes(one.id))) return 'what was struck is not replaced yet';
    const unheard = mine.find(({ heardAt }) => heardAt === null || Date.now() - heardAt > HEARD_WITHIN_MS);
    return unheard ? `amphora ${unheard.id} was heard at ${unheard.heardAt}` : null;
  }
}

interface LoadBalancerRow {
  readonly id: string;
  readonly status: string;
  /** Those that are open, for a person; null: none. */
  readonly flows: string | null;
}

/** Looks at an installation for many who wait for something, with one question to it at a time. */
export class Overview {
  readonly #installation: Installation;
  readonly #database: pg.Client;
  #looking: Promise<Look> | null = null;

  private constructor(installation: Installation, database: pg.Client) {
    this.#installation = installation;
    this.#database = database;
  }

  static async open(installation: Installation): Promise<Overview> {
    return new Overview(installation, await installation.database());
  }

  close(): Promise<void> {
    return this.#database.end();
  }

  /** Waits until it is found. @throws Error after `limitMs`, with what is missing; the signal's reason */
  async until<T>(limitMs: number, signal: AbortSignal, find: (look: Look) => Promise<Found<T>>): Promise<T> {
    const giveUpAt = performance.now() + limitMs;
    for (;;) {
      signal.throwIfAborted();
      const what = await find(await this.#look());
      if ('found' in what) return what.found;
      if (performance.now() > giveUpAt) throw new Error(`Not within ${limitMs} ms: ${what.missing}.`);
    }
  }

  /** The next look, which all share who ask for it meanwhile. */
  #look(): Promise<Look> {
    this.#looking ??= sleep(LOOK_MS).then(() => {
      this.#looking = null;
      return this.#now();
    });
    return this.#looking;
  }

  async #now(): Promise<Look> {
    const { rows } = await this.#database.query<LoadBalancerRow>(
      `SELECT id, provisioning_status AS status, (SELECT string_agg(concat_ws(' ', name, state, direction, step, 'attempt', attempt,
         waiting_for, last_error), '; ' ORDER BY f.id) FROM flow AS f WHERE f.load_balancer_id = lb.id
         AND f.state IN ('QUEUED', 'RUNNING')) AS flows FROM load_balancer AS lb WHERE deleted_at IS NULL`,
    );
    return new Look(await this.#installation.api.allAmphorae(), rows);
  }
}
