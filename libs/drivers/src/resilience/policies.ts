import { Unavailable } from '@octavia/domain';
import type { AmphoraEndpoint } from '../amphora/amphora-driver.ts';
import { AmphoraUnavailable, ComputeUnavailable, NetworkUnavailable } from '../errors.ts';
import type { ResiliencePolicy } from './with-resilience.ts';

/** What a deployment may set; the rest follows from the drivers. All in milliseconds but the counts. */
export interface ResilienceOptions {
  /** Limit of a call to compute, network or certificates. Default: 30 s. */
  readonly timeoutMs?: number;
  /** Limit of a call to an agent, waiting for its turn and tries included. Default: 180 s, as long as Octavia's agent takes. */
  readonly agentTimeoutMs?: number;
  /** Tries of a read. Default: 3. */
  readonly attempts?: number;
  /** Failures in a row after which an endpoint rests. Default: 5. */
  readonly failures?: number;
  /** How long it rests. Default: 2 s, so that it is tried again well within a flow's deadline. */
  readonly restMs?: number;
}

function common(options: ResilienceOptions) {
  return {
    retry: { attempts: options.attempts ?? 3, initialDelayMs: 50, maxDelayMs: 1000 },
    breaker: { failures: options.failures ?? 5, restMs: options.restMs ?? 2000 },
  };
}

export function computePolicy(name: string, options: ResilienceOptions = {}): ResiliencePolicy {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const change = { context: 1, timeoutMs };
  const read = { ...change, isRead: true };
  return {
    ...common(options),
    driver: 'compute',
    methods: {
      build: change,
      replaceFiles: { context: 2, timeoutMs },
      delete: change,
      fence: change,
      forbid: change,
      resume: change,
      status: read,
      get: read,
      list: { ...read, context: 0 },
      leftovers: { ...read, context: 0 },
      removeLeftover: change,
    },
    endpointOf: () => name,
    unavailable: (message, details) => new ComputeUnavailable(message, details),
  };
}

export function networkPolicy(name: string, options: ResilienceOptions = {}): ResiliencePolicy {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const change = { context: 1, timeoutMs };
  return {
    ...common(options),
    driver: 'network',
    methods: {
      managedSubnets: { context: -1, timeoutMs, isRead: true },
      getSubnet: { ...change, isRead: true },
      holdings: { context: 0, timeoutMs, isRead: true },
      leftovers: { context: 0, timeoutMs, isRead: true },
      removeLeftover: change,
      allocateVip: change,
      releaseVip: change,
      plugVip: change,
      unplugVip: change,
    },
    endpointOf: () => name,
    unavailable: (message, details) => new NetworkUnavailable(message, details),
  };
}

/** Reads are not tried again here: the haproxy driver does that itself, where it knows whether it helps. */
export function amphoraPolicy(options: ResilienceOptions = {}): ResiliencePolicy {
  const timeoutMs = options.agentTimeoutMs ?? 180_000;
  return {
    ...common(options),
    driver: 'amphora',
    methods: {
      getFacts: { context: 1, timeoutMs, isProbe: true },
      plugVip: { context: 2, timeoutMs },
      checkHaproxy: { context: 3, timeoutMs },
      reloadHaproxy: { context: 2, timeoutMs },
      pushHaproxy: { context: 3, timeoutMs },
      getHaproxyEtag: { context: 2, timeoutMs },
      deleteLoadBalancer: { context: 2, timeoutMs },
      uploadCertificate: { context: 4, timeoutMs },
      stop: { context: 2, timeoutMs },
      showsCertificate: { context: 2, timeoutMs, isProbe: true },
      rotateAgentCertificate: { context: 2, timeoutMs },
      updateAgentConfig: { context: 2, timeoutMs },
      getInterface: { context: 2, timeoutMs },
      uploadVrrp: { context: 3, timeoutMs },
      startVrrp: { context: 1, timeoutMs },
      reloadVrrp: { context: 1, timeoutMs },
      stopVrrp: { context: 1, timeoutMs },
    },
    endpointOf: (_, [amphora]) => {
      const { amphoraId, lbNetworkIp, agentPort } = amphora as AmphoraEndpoint;
      return `${amphoraId} at ${lbNetworkIp}:${agentPort}`;
    },
    unavailable: (message, details) => new AmphoraUnavailable(message, details),
  };
}

export function certificatesPolicy(name: string, options: ResilienceOptions = {}): ResiliencePolicy {
  const timeoutMs = options.timeoutMs ?? 30_000;
  return {
    ...common(options),
    driver: 'certificates',
    methods: {
      issueAgentCertificate: { context: 1, timeoutMs, isRead: true }, // A certificate that nobody got changes nothing.
      clientCa: { context: -1, timeoutMs, isRead: true },
    },
    endpointOf: () => name,
    unavailable: (message, details) => new Unavailable('CERTIFICATES_UNAVAILABLE', message, details),
  };
}
