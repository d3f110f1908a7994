import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Subnets } from '@octavia/db';
import {
  type AmphoraDriver,
  type Drivers,
  loopbackPlan,
  NOOP_SUBNET,
  NoopCertificatesDriver,
  NoopNetworkDriver,
  openDrivers,
} from '@octavia/drivers';
import { v7 as uuidv7 } from 'uuid';
import { TestWorld } from './world.ts';

const AGENT = fileURLToPath(new URL('../../amphora-agent', import.meta.url));

/** HAProxy, whose check refuses what has a line of the file `refused` in it, and hangs for the amphora that `hang` names. */
const program = (root: string) => `#!/bin/sh
check= file= previous=
for argument; do
  [ "$argument" = -c ] && check=yes
  [ "$previous" = -f ] && [ -z "$file" ] && file=$argument
  previous=$argument
done
if [ "$check" ]; then
  echo "$file" >> ${root}/checks
  if [ -s ${root}/hang ] && echo "$file" | grep -qF -f ${root}/hang; then echo "$$" > ${root}/hanging; exec sleep 60; fi
  if [ -s ${root}/refused ] && words=$(grep -nF -f ${root}/refused "$file"); then
    echo "[ALERT] config : parsing [$file]: not taken: $words" >&2
    exit 1
  fi
fi
exec /usr/sbin/haproxy "$@"
`;

/** Real agents with a real HAProxy on loopback addresses, and a database with a load balancer's life in it. */
export class RealAgents {
  readonly world: TestWorld;
  readonly #root = mkdtempSync(join(tmpdir(), 'o-'));
  #drivers: Drivers | null = null;
  #reloads = 0;

  private constructor(world: TestWorld) {
    this.world = world;
  }

  static async open(): Promise<RealAgents> {
    execFileSync(process.execPath, [join(AGENT, 'build.mjs')]);
    const agents = new RealAgents(await TestWorld.open());
    await agents.#work();
    return agents;
  }

  async #work(): Promise<void> {
    const root = this.#root;
    const certificates = new NoopCertificatesDriver();
    const [clientCertFile, serverCaFile] = [join(root, 'client.pem'), join(root, 'ca.pem')];
    const { certificate, privateKey } = await certificates.issueAgentCertificate('controller');
    writeFileSync(clientCertFile, certificate + privateKey, { mode: 0o600 });
    writeFileSync(serverCaFile, await certificates.clientCa());
    const haproxyCmd = join(root, 'haproxy');
    writeFileSync(haproxyCmd, program(root), { mode: 0o755 });
    const plan = loopbackPlan(uuidv7());
    const { cidr, first, last } = plan.vipSubnet;
    const subnet = { ...NOOP_SUBNET, cidr, gateway: null, vipRange: { first, last } };
    await this.world.db.transaction((tx) => new Subnets().upsert(tx, [subnet]));
    this.#drivers = openDrivers({
      compute: {
        driver: 'local',
        options: {
          dataFolder: root,
          runtimeFolder: join(root, 'run'),
          managementFirst: plan.managementFirst,
          managementLast: plan.managementLast,
          agentBundlePath: join(AGENT, 'dist/amphora-agent.mjs'),
          haproxyCmd,
        },
      },
      network: { driver: 'noop' },
      amphora: { driver: 'haproxy', options: { clientCertFile, serverCaFile, attempts: 1 } },
      certificates: { driver: 'noop' },
    });
    const { compute, amphora } = this.#drivers;
    const network = new NoopNetworkDriver({ subnets: [subnet] });
    await this.world.work({ compute, amphora: this.#counting(amphora), certificates, network });
  }

  /** From now on HAProxy's check refuses texts with one of these in them. */
  refuse(...words: readonly string[]): void {
    writeFileSync(join(this.#root, 'refused'), words.map((word) => `${word}\n`).join(''));
  }

  /** From now on the check of this amphora does not end. */
  hang(amphoraId: string): void {
    writeFileSync(join(this.#root, 'hang'), `${amphoraId}\n`);
  }

  isHanging(): boolean {
    return this.#read('hanging') !== '';
  }

  /** Checks so far. */
  checks(): number {
    return this.#read('checks').split('\n').length - 1;
  }

  /** Starts and reloads of HAProxy so far. */
  get reloads(): number {
    return this.#reloads;
  }

  /** Kills an agent with its HAProxy, and what it checks, as a power cut does. */
  async kill(amphoraId: string): Promise<void> {
    const [row] = (await this.#drivers?.compute.list())?.filter((one) => one.amphoraId === amphoraId) ?? [];
    if (row) await this.#drivers?.compute.delete(row.computeId);
  }

  async close(): Promise<void> {
    await this.world.close();
    for (const { computeId } of (await this.#drivers?.compute.list()) ?? []) {
      await this.#drivers?.compute.delete(computeId);
    }
    await this.#drivers?.close();
    const hanging = Number(this.#read('hanging'));
    if (hanging > 0) killIfThere(hanging);
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** The driver, with its reloads counted. */
  #counting(driver: AmphoraDriver): AmphoraDriver {
    return new Proxy(driver, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (name !== 'pushHaproxy' && name !== 'reloadHaproxy') return value.bind(target);
        return async (...args: unknown[]) => {
          await value.apply(target, args);
          this.#reloads++;
        };
      },
    });
  }

  #read(file: string): string {
    try {
      return readFileSync(join(this.#root, file), 'utf8').trimStart();
    } catch {
      return '';
    }
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
