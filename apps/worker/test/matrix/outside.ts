import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type DriversConfig,
  loopbackPlan,
  NOOP_SUBNET,
  NoopAmphoraDriver,
  NoopComputeDriver,
  NoopNetworkDriver,
  openDrivers,
  type Subnet,
} from '@octavia/drivers';
import { testPki } from '@octavia/service/testing';
import { v7 as uuidv7 } from 'uuid';
import type { Looked } from './truth.ts';

/** A world outside that several processes share, and that outlives them. */
export interface Outside {
  readonly folder: string;
  /** What workers drive it by. */
  readonly drivers: DriversConfig;
  readonly subnet: Subnet;
  /** How the test sees it. */
  readonly looked: Pick<Looked, 'compute' | 'network' | 'amphora'>;
  /** What is there, once the drivers say that nothing is. */
  leftovers(): readonly string[];
  close(): Promise<void>;
}

export type Kind = 'noop' | 'local';

export function openOutside(kind: Kind): Promise<Outside> {
  return kind === 'noop' ? noop() : local();
}

async function noop(): Promise<Outside> {
  const folder = mkdtempSync(join(tmpdir(), 'matrix-'));
  const options = { folder };
  const driver = { driver: 'noop', options } as const;
  return {
    folder,
    drivers: { compute: driver, network: driver, amphora: driver, certificates: { driver: 'noop' } },
    subnet: NOOP_SUBNET,
    looked: {
      compute: new NoopComputeDriver(options),
      network: new NoopNetworkDriver(options),
      amphora: new NoopAmphoraDriver(options),
    },
    leftovers: () => [],
    close: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Amphorae on this machine: our agent with HAProxy, on addresses of 127.0.0.0/8. */
async function local(): Promise<Outside> {
  const folder = mkdtempSync(join(tmpdir(), 'm-'));
  const pki = await testPki('matrix');
  const client = await pki.cert('worker');
  const { managementFirst, managementLast, vipSubnet } = loopbackPlan(uuidv7());
  const config: DriversConfig = {
    compute: {
      driver: 'local',
      options: {
        dataFolder: folder,
        runtimeFolder: join(folder, 'r'),
        managementFirst,
        managementLast,
        agentBundlePath: fileURLToPath(new URL('../../../amphora-agent/dist/amphora-agent.mjs', import.meta.url)),
      },
    },
    network: { driver: 'local', options: { dataFolder: folder, subnets: [{ ...vipSubnet, name: 'loopback' }] } },
    amphora: {
      driver: 'haproxy',
      options: { clientCertFile: client.certFile, clientKeyFile: client.keyFile, serverCaFile: pki.caFile },
    },
    certificates: {
      driver: 'local',
      options: { caCertificateFile: pki.caFile, caKeyFile: pki.caKeyFile, keyAlgorithm: 'EC' },
    },
  };
  const drivers = openDrivers(config);
  const [subnet] = await drivers.network.managedSubnets();
  if (!subnet) throw new Error('The local network driver has no subnet.');
  const holders = join(folder, 'network/holders');
  return {
    folder,
    drivers: config,
    subnet,
    looked: {
      compute: drivers.compute,
      amphora: drivers.amphora,
      network: {
        holdings: () => drivers.network.holdings(),
        leftovers: () => drivers.network.leftovers(),
        holders: async (id) => entries(join(holders, id)),
      },
    },
    leftovers: () => [
      ...['amphorae', 'r', 'compute/leases', 'network/vips', 'network/holders'].flatMap((name) =>
        entries(join(folder, name)).map((entry) => `Left over: ${name}/${entry}.`),
      ),
      ...processesOf(folder).map((command) => `Left over: process ${command}.`),
    ],
    async close() {
      for (const { computeId } of await drivers.compute.list()) await drivers.compute.delete(computeId);
      await drivers.close();
      pki.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function processesOf(folder: string): string[] {
  return entries('/proc').flatMap((pid) => {
    try {
      const command = readFileSync(`/proc/${Number(pid)}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return command.includes(`${folder}/`) ? [command] : [];
    } catch {
      return []; // No process, or one that has just ended.
    }
  });
}
