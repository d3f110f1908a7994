export interface HaproxyAmphoraOptions {
  /** PEM file by which agents know controllers: certificate, and its key unless `clientKeyFile` is given. Read again when it changes. */
  readonly clientCertFile: string;
  readonly clientKeyFile?: string;
  /** PEM file of the CA, or several, that signed the agents' certificates. Read again when it changes. */
  readonly serverCaFile: string;
  /** Milliseconds, from 1. Default and source: Octavia `rest_request_conn_timeout`, 10 s. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds without a byte, from 1. Default and source: Octavia `rest_request_read_timeout`, 60 s. */
  readonly readTimeoutMs?: number;
  /**
   * Tries of one call, from 1, and the pause between two in milliseconds. Default: 3 and 250. Octavia tries 15 to 120 times here; our flow
   * engine goes on trying without holding the load balancer's turn, so this only has to outlast a hiccup.
   */
  readonly attempts?: number;
  readonly retryIntervalMs?: number;
  /** Calls that may wait for their turn at one amphora; more are refused. Default: 128, two for each of 64 load balancers. */
  readonly maxWaiting?: number;
}

export type Limits = Required<Omit<HaproxyAmphoraOptions, 'clientCertFile' | 'clientKeyFile' | 'serverCaFile'>>;

export function limitsOf(options: HaproxyAmphoraOptions): Limits {
  return {
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    readTimeoutMs: options.readTimeoutMs ?? 60_000,
    attempts: options.attempts ?? 3,
    retryIntervalMs: options.retryIntervalMs ?? 250,
    maxWaiting: options.maxWaiting ?? 128,
  };
}
