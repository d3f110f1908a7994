import type { AmphoraDriver } from './amphora/amphora-driver.ts';
import { HaproxyAmphoraDriver } from './amphora/haproxy/haproxy-amphora.ts';
import type { HaproxyAmphoraOptions } from './amphora/haproxy/options.ts';
import { NoopAmphoraDriver, type NoopAmphoraOptions } from './amphora/noop/noop-amphora.ts';
import type { CertificatesDriver } from './certificates/certificates-driver.ts';
import { LocalCertificatesDriver, type LocalCertificatesOptions } from './certificates/local/local-certificates.ts';
import { NoopCertificatesDriver, type NoopCertificatesOptions } from './certificates/noop/noop-certificates.ts';
import type { ComputeDriver } from './compute/compute-driver.ts';
import { LocalComputeDriver } from './compute/local/local-compute.ts';
import type { LocalComputeOptions } from './compute/local/options.ts';
import { NoopComputeDriver, type NoopComputeOptions } from './compute/noop/noop-compute.ts';
import { LocalNetworkDriver, type LocalNetworkOptions } from './network/local/local-network.ts';
import type { NetworkDriver } from './network/network-driver.ts';
import { NoopNetworkDriver, type NoopNetworkOptions } from './network/noop/noop-network.ts';
import type { BreakerState } from './resilience/breakers.ts';
import {
  amphoraPolicy,
  certificatesPolicy,
  computePolicy,
  networkPolicy,
  type ResilienceOptions,
} from './resilience/policies.ts';
import { withResilience } from './resilience/with-resilience.ts';

/** Which driver of each kind, and its options. */
export interface DriversConfig {
  readonly compute:
    | { readonly driver: 'noop'; readonly options?: NoopComputeOptions }
    | { readonly driver: 'local'; readonly options: LocalComputeOptions };
  readonly network:
    | { readonly driver: 'noop'; readonly options?: NoopNetworkOptions }
    | { readonly driver: 'local'; readonly options: LocalNetworkOptions };
  readonly amphora:
    | { readonly driver: 'noop'; readonly options?: NoopAmphoraOptions }
    | { readonly driver: 'haproxy'; readonly options: HaproxyAmphoraOptions };
  readonly certificates:
    | { readonly driver: 'noop'; readonly options?: NoopCertificatesOptions }
    | { readonly driver: 'local'; readonly options: LocalCertificatesOptions };
  readonly resilience?: ResilienceOptions;
}

/** All drivers of a worker. */
export interface Drivers {
  readonly compute: ComputeDriver;
  readonly network: NetworkDriver;
  readonly amphora: AmphoraDriver;
  readonly certificates: CertificatesDriver;
  /** State of every circuit breaker, for metrics and operators. */
  breakers(): readonly BreakerState[];
  close(): Promise<void>;
}

/** Names that each kind takes; others are not there yet. */
export const DRIVER_NAMES = {
  compute: ['noop', 'local'],
  network: ['noop', 'local'],
  amphora: ['noop', 'haproxy'],
  certificates: ['noop', 'local'],
} as const;

/**
 * Opens the drivers, each with time-outs, retries and circuit breakers. Nothing is contacted yet. Noop compute and amphora drivers without a
 * folder adopt unless told otherwise, so that instances outlive the worker.
 * @throws TypeError naming an unknown driver, or every wrong option of one
 */
export function openDrivers(config: DriversConfig): Drivers {
  checkNames(config);
  const { resilience } = config;
  const compute = withResilience(openCompute(config.compute), computePolicy(config.compute.driver, resilience));
  const network = withResilience(openNetwork(config.network), networkPolicy(config.network.driver, resilience));
  const amphora = withResilience(openAmphora(config.amphora), amphoraPolicy(resilience));
  const certificates = withResilience(
    openCertificates(config),
    certificatesPolicy(config.certificates.driver, resilience),
  );
  const all = [compute, network, amphora, certificates];
  return {
    compute,
    network,
    amphora,
    certificates,
    breakers: () => all.flatMap((driver) => driver.breakers()),
    async close() {
      await Promise.all(all.map((driver) => driver.close()));
    },
  };
}

function openCompute(config: DriversConfig['compute']): ComputeDriver {
  if (config.driver === 'local') return new LocalComputeDriver(config.options);
  return new NoopComputeDriver({ adopt: !config.options?.folder, ...config.options });
}

function openNetwork(config: DriversConfig['network']): NetworkDriver {
  return config.driver === 'local' ? new LocalNetworkDriver(config.options) : new NoopNetworkDriver(config.options);
}

function openAmphora(config: DriversConfig['amphora']): AmphoraDriver {
  if (config.driver === 'haproxy') return new HaproxyAmphoraDriver(config.options);
  return new NoopAmphoraDriver({ adopt: !config.options?.folder, ...config.options });
}

function openCertificates({ certificates: config, amphora }: DriversConfig): CertificatesDriver {
  return config.driver === 'local'
    ? new LocalCertificatesDriver(config.options)
    : new NoopCertificatesDriver({ isReal: amphora.driver !== 'noop', ...config.options });
}

/** Names come from a person's configuration, whatever the types say. */
function checkNames(config: DriversConfig): void {
  const faults = Object.entries(DRIVER_NAMES).flatMap(([kind, names]) => {
    const { driver } = config[kind as keyof typeof DRIVER_NAMES];
    const isKnown = (names as readonly string[]).includes(driver);
    return isKnown ? [] : [`${kind} driver ${JSON.stringify(driver)} is not one of ${names.join(', ')}`];
  });
  if (faults.length > 0) throw new TypeError(`The drivers cannot be opened: ${faults.join('; ')}.`);
}
