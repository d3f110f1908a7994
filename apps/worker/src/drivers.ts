import { type Drivers, type DriversConfig, loopbackPlan, openDrivers } from '@octavia/drivers';
import type { Part, TlsFiles } from '@octavia/service';
import type { WorkerConfig } from './config.ts';

/** Opens the drivers that the settings name. */
export function driversOf(config: WorkerConfig): Drivers {
  return openDrivers({
    compute: computeOf(config),
    network: networkOf(config),
    amphora: amphoraOf(config),
    certificates: issuerOf(config),
  });
}

/** What the worker proves itself by: to our services, and to agents where it talks to any. */
export function certificatesOf({ grpc, agent }: WorkerConfig): Pick<TlsFiles, 'certFile' | 'caFile'>[] {
  const { clientCertFile, serverCaFile } = agent;
  return [grpc.tls, ...(clientCertFile && serverCaFile ? [{ certFile: clientCertFile, caFile: serverCaFile }] : [])];
}

/** Closes the drivers at the end of the process. */
export function driversPart(drivers: Drivers): Part {
  return { name: 'drivers', start: async () => {}, stop: () => drivers.close() };
}

function computeOf({ drivers, local }: WorkerConfig): DriversConfig['compute'] {
  if (drivers.compute === 'noop') return { driver: 'noop' };
  const { managementFirst, managementLast } = loopbackPlan(local.installationId);
  return {
    driver: 'local',
    options: {
      dataFolder: local.dataFolder,
      runtimeFolder: local.runtimeFolder,
      managementFirst,
      managementLast,
      agentBundlePath: local.agentBundle ?? '',
      ...(local.haproxyCmd ? { haproxyCmd: local.haproxyCmd } : {}),
    },
  };
}

function networkOf({ drivers, local }: WorkerConfig): DriversConfig['network'] {
  if (drivers.network === 'noop') return { driver: 'noop' };
  const { vipSubnet } = loopbackPlan(local.installationId);
  return { driver: 'local', options: { dataFolder: local.dataFolder, subnets: [{ ...vipSubnet, name: 'loopback' }] } };
}

function amphoraOf({ drivers, agent }: WorkerConfig): DriversConfig['amphora'] {
  if (drivers.amphora === 'noop') return { driver: 'noop' };
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
