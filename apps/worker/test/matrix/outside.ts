import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type DriversConfig,
  kernelHoldings,
  type LoopbackPlan,
  loopbackPlan,
  type NamespacePlan,
  NOOP_SUBNET,
  NoopAmphoraDriver,
  NoopComputeDriver,
  NoopNetworkDriver,
  openDrivers,
  openHostId,
  prepareNamespaces,
  removeNamespaces,
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
  leftovers(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** `local`: amphorae on addresses of 127.0.0.0/8. `namespaces`: in network namespaces, which needs root. */
export type Kind = 'noop' | 'local' | 'namespaces';

export function openOutside(kind: Kind): Promise<Outside> {
  return kind === 'noop' ? noop() : local(kind === 'namespaces');
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
    leftovers: async () => [],
    close: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Amphorae on this machine: our agent with HAProxy, and of a pair with keepalived. */
async function local(isInNamespaces: boolean): Promise<Outside> {
  const folder = mkdtempSync(join(tmpdir(), 'm-'));
  const folders = { dataFolder: folder, runtimeFolder: join(folder, 'r') };
  const pki = await testPki('matrix');
  const client = await pki.cert('worker');
  const networks = await (isInNamespaces ? inNamespaces(folders) : onLoopback());
  const config: DriversConfig = {
    compute: {
      driver: 'local',
      options: {
        ...folders,
        ...networks.options,
        managementFirst: networks.managementFirst,
        managementLast: networks.managementLast,
        agentBundlePath: fileURLToPath(new URL('../../../amphora-agent/dist/amphora-agent.mjs', import.meta.url)),
      },
    },
    network: { driver: 'local', options: { dataFolder: folder, ...networks.options, subnets: [networks.subnet] } },
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
    leftovers: async () => [
      ...(await networks.leftovers()),
      ...['amphorae', 'r', 'compute/leases', 'network/vips', 'network/holders'].flatMap((name) =>
        entries(join(folder, name)).map((entry) => `Left over: ${name}/${entry}.`),
      ),
      ...processesOf(folder).map((command) => `Left over: process ${command}.`),
    ],
    async close() {
      for (const { computeId } of await drivers.compute.list()) await drivers.compute.delete(computeId);
      await drivers.close();
      await networks.close();
      pki.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Where amphorae get their addresses, and what of the kernel's is theirs. */
interface Networks {
  readonly options: { readonly namespaces?: NamespacePlan };
  readonly managementFirst: string;
  readonly managementLast: string;
  readonly subnet: LoopbackPlan['vipSubnet'] & { readonly name: string };
  leftovers(): Promise<readonly string[]>;
  close(): Promise<void>;
}

async function onLoopback(): Promise<Networks> {
  const { managementFirst, managementLast, vipSubnet } = loopbackPlan(uuidv7());
  const subnet = { ...vipSubnet, name: 'loopback' };
  return {
    options: {},
    managementFirst,
    managementLast,
    subnet,
    leftovers: async () => [],
    close: async () => {},
  };
}

async function inNamespaces(folders: {
  readonly dataFolder: string;
  readonly runtimeFolder: string;
}): Promise<Networks> {
  const plan = await prepareNamespaces({ installationId: folders.dataFolder, ...folders, endsWithWriter: true });
  const hostId = await openHostId(folders);
  return {
    options: { namespaces: plan },
    managementFirst: plan.management.first,
    managementLast: plan.management.last,
    subnet: { ...plan.vip, name: 'vips' },
    async leftovers() {
      const { namespaces, links, cgroups } = await kernelHoldings(plan.prefix, hostId);
      return [
        ...namespaces.map(({ name }) => `namespace ${name}`),
        ...links.flatMap(({ name, amphoraId }) => (amphoraId === null ? [] : [`interface ${name}`])),
        ...cgroups.map(({ path }) => `control group ${path}`),
      ].map((what) => `Left over: ${what}.`);
    },
    close: () => removeNamespaces(folders),
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
