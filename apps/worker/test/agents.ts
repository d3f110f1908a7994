import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Drivers, loopbackPlan, NoopCertificatesDriver, openDrivers } from '@octavia/drivers';
import { v7 as uuidv7 } from 'uuid';

/** What a stand-in agent does: see fixtures/agent.mjs. */
export type Mode = 'ok' | 'silent' | 'dies' | 'garbage' | 'error' | 'hang';

/** The real compute and amphora drivers, with agents that misbehave as they are told. */
export class Agents {
  readonly #root = mkdtempSync(join(tmpdir(), 'o-'));
  readonly #certificates = new NoopCertificatesDriver();
  #drivers: Drivers | null = null;

  async open(): Promise<Pick<Drivers, 'compute' | 'amphora' | 'certificates'>> {
    this.all('ok');
    const clientCertFile = join(this.#root, 'client.pem');
    const serverCaFile = join(this.#root, 'ca.pem');
    const { certificate, privateKey } = await this.#certificates.issueAgentCertificate('controller');
    writeFileSync(clientCertFile, certificate + privateKey, { mode: 0o600 });
    writeFileSync(serverCaFile, await this.#certificates.clientCa());
    const { managementFirst, managementLast } = loopbackPlan(uuidv7());
    this.#drivers = openDrivers({
      compute: {
        driver: 'local',
        options: {
          dataFolder: this.#root,
          runtimeFolder: join(this.#root, 'run'),
          managementFirst,
          managementLast,
          agentBundlePath: fileURLToPath(new URL('./fixtures/agent.mjs', import.meta.url)),
          agentEnvironment: { MODES: this.#root },
        },
      },
      network: { driver: 'noop' },
      amphora: {
        driver: 'haproxy',
        options: { clientCertFile, serverCaFile, connectTimeoutMs: 500, readTimeoutMs: 500, attempts: 1 },
      },
      certificates: { driver: 'noop' },
      resilience: { restMs: 100 },
    });
    const { compute, amphora } = this.#drivers;
    return { compute, amphora, certificates: this.#certificates };
  }

  /** What every agent does that has not been told otherwise. */
  all(mode: Mode): void {
    this.tell('default', mode);
  }

  tell(amphoraId: string, mode: Mode): void {
    writeFileSync(join(this.#root, amphoraId), mode);
  }

  /** Folders and addresses of amphorae that are still there. */
  left(): string[] {
    const there = (folder: string) => {
      try {
        return readdirSync(join(this.#root, folder));
      } catch {
        return [];
      }
    };
    return [...there('amphorae'), ...there('run'), ...there('compute/leases')];
  }

  /** Pids of agents that run. */
  running(): number[] {
    return readdirSync('/proc').flatMap((entry) => (isAgentOf(entry, this.#root) ? [Number(entry)] : []));
  }

  async close(): Promise<void> {
    for (const { computeId } of (await this.#drivers?.compute.list()) ?? []) {
      await this.#drivers?.compute.delete(computeId);
    }
    await this.#drivers?.close();
    rmSync(this.#root, { recursive: true, force: true });
  }
}

function isAgentOf(pid: string, root: string): boolean {
  if (!/^\d+$/.test(pid)) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${root}/`);
  } catch {
    return false;
  }
}
