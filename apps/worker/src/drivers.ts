import { availableParallelism } from 'node:os';
import {
  DRIVER_NAMES,
  type Drivers,
  type DriversConfig,
  loopbackPlan,
  type NamespacePlan,
  openDrivers,
  prepareNamespaces,
} from '@octavia/drivers';
import { ATTR, METRIC, meter, type Part, type TlsFiles } from '@octavia/service';
import type { WorkerConfig } from './config.ts';

/** Opens the drivers that the settings name. @throws ComputeUnavailable when this machine cannot do what LOCAL_MODE asks for */
export async function driversOf(config: WorkerConfig): Promise<Drivers> {
  const { mode, ...local } = config.local;
  const namespaces = mode === 'namespaces' ? await prepareNamespaces(local) : undefined;
  return openDrivers({
    compute: computeOf(config, namespaces),
    network: networkOf(config, namespaces),
    amphora: amphoraOf(config),
    certificates: issuerOf(config),
  });
}

/** What the worker proves itself by: to our services, and to agents where it talks to any. */
export function certificatesOf({ grpc, agent }: WorkerConfig): Pick<TlsFiles, 'certFile' | 'caFile'>[] {
  const { clientCertFile, serverCaFile } = agent;
  return [grpc.tls, ...(clientCertFile && serverCaFile ? [{ certFile: clientCertFile, caFile: serverCaFile }] : [])];
}

/** Builds for each CPU of this machine: booting an agent takes one for a third of a second. Source: measured with the local driver. */
const LOCAL_BUILDS_PER_CPU = 2;

/** How many amphorae are built at once, over all workers. Null: no limit. */
export function buildSlotsOf({ buildSlots, drivers }: Pick<WorkerConfig, 'buildSlots' | 'drivers'>): number | null {
  if (buildSlots !== 0) return buildSlots < 0 ? null : buildSlots;
  return drivers.compute === 'local' ? LOCAL_BUILDS_PER_CPU * availableParallelism() : null;
}

/** Shows the drivers' circuit breakers while the process runs, and closes the drivers at its end. */
export function driversPart(drivers: Drivers): Part {
  return { name: 'drivers', start: async () => watchBreakers(drivers), stop: () => drivers.close() };
}

const BREAKER_STATES = ['closed', 'half-open', 'open'] as const;

/** Endpoints by state of their circuit breaker. Endpoints themselves are too many for a metric. */
function watchBreakers(drivers: Drivers): void {
  meter()
    .createObservableGauge(METRIC.BREAKER_COUNT, {
      unit: '{endpoint}',
      description: 'Endpoints by state of their breaker',
    })
    .addCallback((result) => {
      const all = drivers.breakers();
      for (const kind of Object.keys(DRIVER_NAMES)) {
        for (const state of BREAKER_STATES) {
          const count = all.filter((breaker) => breaker.driver === kind && breaker.state === state).length;
          result.observe(count, { [ATTR.DRIVER_KIND]: kind, [ATTR.BREAKER_STATE]: state });
        }
      }
    });
}

function noop(folder: string) {
  return { driver: 'noop', options: folder ? { folder } : {} } as const;
}

function computeOf({ drivers, local, noopFolder }: WorkerConfig, namespaces?: NamespacePlan): DriversConfig['compute'] {
  if (drivers.compute === 'noop') return noop(noopFolder);
  const loopback = loopbackPlan(local.installationId);
  return {
    driver: 'local',
    options: {
      dataFolder: local.dataFolder,
      runtimeFolder: local.runtimeFolder,
      managementFirst: namespaces?.management.first ?? loopback.managementFirst,
      managementLast: namespaces?.management.last ?? loopback.managementLast,
      agentBundlePath: local.agentBundle ?? '',
      ...(local.haproxyCmd ? { haproxyCmd: local.haproxyCmd } : {}),
      ...(namespaces ? { namespaces, limits: local.limits } : {}),
    },
  };
}

function networkOf({ drivers, local, noopFolder }: WorkerConfig, namespaces?: NamespacePlan): DriversConfig['network'] {
  if (drivers.network === 'noop') return noop(noopFolder);
  const { dataFolder } = local;
  if (namespaces) {
    return { driver: 'local', options: { dataFolder, namespaces, subnets: [{ ...namespaces.vip, name: 'vips' }] } };
  }
  const { vipSubnet } = loopbackPlan(local.installationId);
  return { driver: 'local', options: { dataFolder: local.dataFolder, subnets: [{ ...vipSubnet, name: 'loopback' }] } };
}

function amphoraOf({ drivers, agent, noopFolder }: WorkerConfig): DriversConfig['amphora'] {
  if (drivers.amphora === 'noop') return noop(noopFolder);
  const { clientCertFile = '', clientKeyFile, serverCaFile = '' } = agent;
  return { driver: 'haproxy', options: { clientCertFile, serverCaFile, ...(clientKeyFile ? { clientKeyFile } : {}) } };
}

function issuerOf({ drivers, certificates }: WorkerConfig): DriversConfig['certificates'] {
  if (drivers.certificates === 'noop') return { driver: 'noop' };
  const { caCertificateFile = '', caKeyFile = '', clientCaFile, validityMs } = certificates;
  return {
    driver: 'local',
    options: {
      caCertificateFile,
      caKeyFile,
      validityMs,
      ...(clientCaFile ? { clientCaFile } : {}),
      // Our own agents take these, which are made a hundred times faster; agents of foreign images may not.
      ...(drivers.compute === 'local' ? { keyAlgorithm: 'EC' as const } : {}),
    },
  };
}
