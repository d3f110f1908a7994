import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { amphoraNames, type NamespacePlan, type NetworkKind, pairNames, preparedPlan } from '@octavia/drivers';
import { Guest, GuestClient, mayMakeNamespaces } from '@octavia/drivers/testing';
import type { Topology } from '@octavia/proto';
import type pg from 'pg';
import { untilSpare } from './benchmarks/create.ts';
import { Installation } from './installation.ts';
import { startWeb, until, type Web } from './traffic.ts';

const PORT = 8080;
const LIMIT_MS = 90_000;
/** So that blows fall anywhere between two heartbeats, which come each second. */
const SPREAD_MS = 1_000;

/** What may be cut of an amphora, and how. */
export type Cut = 'down' | 'detached';

/** An installation in namespaces mode, a load balancer with one member, and a client that asks all the time. */
export class Stage {
  readonly installation: Installation;
  readonly guest: Guest;
  readonly client: GuestClient;
  readonly vip: string;
  readonly #plan: NamespacePlan;
  readonly #id: string;
  readonly #size: number;
  readonly #web: Web;
  readonly #database: pg.Client;

  private constructor(made: {
    installation: Installation;
    guest: Guest;
    plan: NamespacePlan;
    web: Web;
    database: pg.Client;
    loadBalancer: { id: string; vip: string };
    size: number;
  }) {
    this.installation = made.installation;
    this.guest = made.guest;
    this.#plan = made.plan;
    this.#web = made.web;
    this.#database = made.database;
    this.#id = made.loadBalancer.id;
    this.vip = made.loadBalancer.vip;
    this.#size = made.size;
    this.client = new GuestClient(made.guest, made.loadBalancer.vip, PORT);
  }

  /** @throws Error when this is not root, which alone may make namespaces */
  static async open(topology: Topology, signal: AbortSignal): Promise<Stage> {
    if (!mayMakeNamespaces()) throw new Error('Namespaces mode needs root, and a kernel that lets it make namespaces.');
    const installation = await Installation.start({}, { signal, mode: 'namespaces' });
    try {
      const { api } = installation;
      const plan = await preparedPlan(installation.home);
      if (!plan) throw new Error('The installation has no networks.');
      const [guest, web] = [await Guest.open(plan), await startWeb(plan.vip.hostAddress)];
      const loadBalancer = await api.createLoadBalancer(topology);
      await api.addMember(await api.addListener(loadBalancer.id, PORT), web.port, web.address);
      const size = topology === 'TOPOLOGY_ACTIVE_STANDBY' ? 2 : 1;
      const database = await installation.database();
      const stage = new Stage({ installation, guest, plan, web, database, loadBalancer, size });
      await stage.client.answered(LIMIT_MS);
      return stage;
    } catch (error) {
      await installation.stop();
      throw error;
    }
  }

  /** Waits until nothing is to be done any more and all amphorae serve but those, and returns the one that has the VIP. */
  async settled(gone: readonly string[] = []): Promise<string> {
    let holder: string | undefined;
    await until('everything is settled', LIMIT_MS, async () => {
      const amphorae = await this.installation.api.amphorae('AMPHORA_STATUS_ALLOCATED', this.#id);
      const { rows } = await this.#database.query(`SELECT 1 FROM flow WHERE state IN ('QUEUED', 'RUNNING') LIMIT 1`);
      const mac = await this.guest.knownMac(this.vip);
      holder = amphorae.find((id) => pairNames(this.#plan, id, 'vip').mac === mac);
      return (
        rows.length === 0 && amphorae.length === this.#size && !amphorae.some((id) => gone.includes(id)) && !!holder
      );
    });
    await untilSpare(this.installation);
    await this.client.answered(LIMIT_MS);
    await sleep(SPREAD_MS * (1 + Math.random()));
    return holder ?? '';
  }

  /** kill -9 of all processes in the amphora's namespace. `isPowerCut`: its links go first. */
  kill(amphoraId: string, isPowerCut = false): void {
    const { namespace } = amphoraNames(this.#plan, amphoraId);
    const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
    const pids = stdout.split('\n').filter(Boolean).map(Number);
    if (pids.length === 0) throw new Error(`Nothing runs in ${namespace}.`);
    if (isPowerCut) for (const kind of ['vip', 'management'] as const) this.cut(amphoraId, kind, 'down');
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        // A child that ended with its parent.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  }

  /** Cuts a link. Detached: from the bridge, which the amphora cannot see. */
  cut(amphoraId: string, kind: NetworkKind, how: Cut): void {
    this.#set(amphoraId, kind, how === 'down' ? ['down'] : ['nomaster']);
  }

  /** Undoes a cut. The link may be gone with its amphora. */
  mend(amphoraId: string, kind: NetworkKind): void {
    const { bridge } = kind === 'vip' ? this.#plan.vip : this.#plan.management;
    this.#set(amphoraId, kind, ['master', bridge, 'up']);
  }

  #set(amphoraId: string, kind: NetworkKind, words: readonly string[]): void {
    spawnSync('ip', ['link', 'set', pairNames(this.#plan, amphoraId, kind).outer, ...words], { stdio: 'ignore' });
  }

  async close(): Promise<void> {
    await this.client.close();
    this.#web.close();
    await this.#database.end();
    await this.guest.close();
    await this.installation.stop();
  }
}
