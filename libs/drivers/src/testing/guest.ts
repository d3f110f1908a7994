import { spawn, spawnSync } from 'node:child_process';
import { formatIpv4, parseIpv4 } from '../addresses.ts';
import { makeNamespace, plugPair, removeNamespace, unplugPairs } from '../namespaces/amphora-network.ts';
import { ipBatch, ipShow } from '../namespaces/ip.ts';
import { amphoraNames, type NamespacePlan, pairNames } from '../namespaces/plan.ts';

/** How long a guest may take for one command; longer than any of them should. Milliseconds. */
const TIMEOUT_MS = 30_000;

/** Whether tests may make namespaces here: root may, and not in every container. */
export function mayMakeNamespaces(): boolean {
  return process.geteuid?.() === 0 && spawnSync('unshare', ['--net', 'ip', 'link', 'show', 'lo']).status === 0;
}

/** Another host on the VIPs' network: a namespace with one interface, for clients and members of tests. */
export class Guest {
  readonly address: string;
  readonly namespace: string;
  /** Its interface on the VIPs' network. */
  readonly device: string;
  readonly #plan: NamespacePlan;
  readonly #name: string;

  private constructor(plan: NamespacePlan, number: number) {
    this.#plan = plan;
    this.#name = `guest-${number}`;
    this.namespace = amphoraNames(plan, this.#name).namespace;
    this.device = pairNames(plan, this.#name, 'vip').inner;
    this.address = formatIpv4((parseIpv4(plan.vip.guestFirst) ?? 0) + number);
  }

  /** @param number 0 to 31. Its names are of the installation, so that whatever removes that removes it. */
  static async open(plan: NamespacePlan, number = 0): Promise<Guest> {
    const guest = new Guest(plan, number);
    await makeNamespace(amphoraNames(plan, guest.#name));
    await plugPair(plan, guest.#name, 'vip');
    const { inner } = pairNames(plan, guest.#name, 'vip');
    await ipBatch(
      [
        ['link', 'set', 'lo', 'up'],
        ['address', 'replace', `${guest.address}/${plan.vip.prefixLength}`, 'dev', inner],
        ['link', 'set', inner, 'up'],
      ],
      { namespace: guest.namespace },
    );
    return guest;
  }

  /** Runs a program there; resolves with what it printed, whatever its exit code. */
  run(program: string, ...args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const inside = ['netns', 'exec', this.namespace, program, ...args];
    const child = spawn('ip', inside, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    return new Promise((done, fail) => {
      child.once('error', fail);
      child.once('close', (code) => done({ code, stdout, stderr }));
    });
  }

  /** MAC address that it has for an address now, without asking anybody; null: none. */
  async knownMac(address: string): Promise<string | null> {
    const found = (await ipShow(['neighbour', 'show', address], { namespace: this.namespace })) ?? [];
    return (found as { lladdr?: string }[])[0]?.lladdr ?? null;
  }

  /** Forgets the address, asks everybody on the network, and returns who answers for it; null: nobody does. */
  async whoHas(address: string): Promise<string | null> {
    const { inner } = pairNames(this.#plan, this.#name, 'vip');
    // Three questions 100 ms apart instead of one second.
    await this.run('sh', '-c', `echo 100 >/proc/sys/net/ipv4/neigh/${inner}/retrans_time_ms`);
    await ipBatch([['neighbour', 'flush', 'to', address, 'dev', inner]], { namespace: this.namespace, isForced: true });
    await this.run('bash', '-c', `echo >/dev/udp/${address}/9`);
    const giveUpAt = performance.now() + 5000;
    for (;;) {
      const found = (await ipShow(['neighbour', 'show', address], { namespace: this.namespace })) ?? [];
      const [{ lladdr = null, state = [] } = {}] = found as { lladdr?: string; state?: string[] }[];
      if (lladdr !== null) return lladdr;
      if (state.includes('FAILED') || performance.now() > giveUpAt) return null;
    }
  }

  async close(): Promise<void> {
    await unplugPairs(this.#plan, this.#name, ['vip']);
    await removeNamespace(amphoraNames(this.#plan, this.#name));
  }
}
