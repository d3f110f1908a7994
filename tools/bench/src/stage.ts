import { spawnSync } from 'node:child_process';
import { amphoraNames, type NamespacePlan, type NetworkKind, pairNames, preparedPlan } from '@octavia/drivers';
import { Guest, type GuestClient, GuestProber, mayMakeNamespaces } from '@octavia/drivers/testing';
import { Installation } from './installation.ts';
import { startMember } from './member.ts';
import { Overview } from './overview.ts';
import type { Web } from './traffic.ts';

const PORT = 8080;
/** Until everything answers that is made at once; of one repair, five times what it takes. */
export const LIMIT_MS = 90_000;

/** What may be cut of an amphora, and how. */
export type Cut = 'down' | 'detached';

export type Kind = 'pair' | 'single';

/** A load balancer that is struck again and again, and its own client. */
export interface Target {
  readonly id: string;
  readonly vip: string;
  readonly kind: Kind;
  readonly client: GuestClient;
}

/** How many of each there are. */
export interface Cast {
  readonly pairs: number;
  readonly singles: number;
  /** Ready spares that there are, as long as none is taken. */
  readonly spares: number;
}

/** One installation in namespaces mode with several load balancers, each with one member, and a client of each that asks all the time. */
export class Stage {
  readonly guest: Guest;
  readonly prober: GuestProber;
  readonly targets: readonly Target[];
  readonly overview: Overview;
  readonly #installation: Installation;
  readonly #plan: NamespacePlan;
  readonly #member: Web;

  private constructor(made: {
    installation: Installation;
    guest: Guest;
    prober: GuestProber;
    plan: NamespacePlan;
    member: Web;
    overview: Overview;
    targets: readonly Target[];
  }) {
    this.#installation = made.installation;
    this.#plan = made.plan;
    this.#member = made.member;
    this.guest = made.guest;
    this.prober = made.prober;
    this.overview = made.overview;
    this.targets = made.targets;
  }

  /** Everything answers when it returns. @throws Error when this is not root, which alone may make namespaces */
  static async open({ pairs, singles, spares }: Cast, signal: AbortSignal): Promise<Stage> {
    if (!mayMakeNamespaces()) throw new Error('Namespaces mode needs root, and a kernel that lets it make namespaces.');
    const settings = { SPARE_AMPHORA_POOL_SIZE: String(spares) };
    const installation = await Installation.start(settings, { signal, mode: 'namespaces' });
    let [member, stage]: [Web?, Stage?] = [];
    try {
      const plan = await preparedPlan(installation.home);
      if (!plan) throw new Error('The installation has no networks.');
      const guest = await Guest.open(plan);
      member = await startMember(plan.vip.hostAddress);
      const web = member;
      const kinds: Kind[] = [...Array<Kind>(pairs).fill('pair'), ...Array<Kind>(singles).fill('single')];
      const made = await Promise.all(kinds.map((kind) => create(installation, kind, web)));
      const overview = await Overview.open(installation);
      const vips = made.map(({ vip }) => vip);
      const prober = new GuestProber(guest, vips, PORT);
      const targets = made.map((one) => ({ ...one, client: prober.client(one.vip) }));
      stage = new Stage({ installation, guest, prober, plan, member, overview, targets });
      await Promise.all(targets.map(({ client }) => client.answered(LIMIT_MS, undefined, signal)));
      prober.delays.length = 0;
      return stage;
    } catch (error) {
      member?.close();
      await (stage ?? { close: () => installation.stop() }).close();
      throw error;
    }
  }

  /**
   * Waits until a load balancer is whole, and none of those that are `gone` is of it any more. Returns which amphora has the VIP.
   * @throws Error after LIMIT_MS, with what is not yet as it must be
   */
  async whole({ id, vip, kind }: Target, signal: AbortSignal, gone: readonly string[] = []): Promise<string> {
    const size = kind === 'pair' ? 2 : 1;
    return this.overview.until<string>(LIMIT_MS, signal, async (seen) => {
      const { missing, amphorae } = seen.of(id, size, gone);
      if (missing !== null) return { missing: `${kind} ${id}: ${missing}` };
      const mac = await this.guest.knownMac(vip);
      const holder = amphorae.find((amphora) => this.macOf(amphora) === mac);
      return holder === undefined ? { missing: `${kind} ${id}: ${vip} is at ${mac ?? 'nobody'}` } : { found: holder };
    });
  }

  /** MAC address of an amphora's interface on the VIPs' network. */
  macOf(amphoraId: string): string {
    return pairNames(this.#plan, amphoraId, 'vip').mac;
  }

  /** Processes in the amphora's namespace. @throws Error when there is none */
  processesOf(amphoraId: string): number[] {
    const { namespace } = amphoraNames(this.#plan, amphoraId);
    const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
    const pids = stdout.split('\n').filter(Boolean).map(Number);
    if (pids.length === 0) throw new Error(`Nothing runs in ${namespace}.`);
    return pids;
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
    await this.prober.close();
    this.#member.close();
    await this.overview.close();
    await this.guest.close();
    await this.#installation.stop();
  }
}

async function create({ api }: Installation, kind: Kind, member: Web) {
  const { id, vip } = await api.createLoadBalancer(kind === 'pair' ? 'TOPOLOGY_ACTIVE_STANDBY' : 'TOPOLOGY_SINGLE');
  await api.addMember(await api.addListener(id, PORT), member.port, member.address);
  return { id, vip, kind };
}

/** kill -9 of these. */
export function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      // A child that ended with its parent.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
