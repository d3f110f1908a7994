import {
  duration,
  formatHostPort,
  grpcServerSettings,
  hostPort,
  integer,
  processSettings,
  secretFile,
  settings,
} from '@octavia/service';

/** Every setting of health. Bad ones stop the start, and all of them are reported at once. */
export const readConfig = settings(
  {
    process: processSettings,
    database: {
      url: secretFile('DATABASE_URL_FILE', {
        orVariable: 'DATABASE_URL',
        doc: 'File with the connection string of PostgreSQL 14 or later.',
      }),
      poolSize: integer('DATABASE_POOL_SIZE', { default: 10, min: 2, max: 200, doc: 'Connections at most.' }),
    },
    grpc: grpcServerSettings,
    advertised: hostPort('ADVERTISED_ADDRESS', {
      doc: 'Where the heartbeat listeners reach this process; unique among the health processes.',
    }),
    heartbeatIntervalMs: duration('HEARTBEAT_INTERVAL', {
      default: '10s',
      min: '100ms',
      max: '10m',
      doc: 'Time between two heartbeats of an amphora.',
    }),
    heartbeatTimeoutMs: duration('HEARTBEAT_TIMEOUT', {
      default: '60s',
      min: '300ms',
      max: '1h',
      doc: 'Silence after which an amphora is replaced. At least three intervals: a lost datagram is no death.',
    }),
    healthCheckIntervalMs: duration('HEALTH_CHECK_INTERVAL', {
      default: '3s',
      min: '50ms',
      max: '1m',
      doc: 'Time between two searches for silent amphorae.',
    }),
    shardLeaseMs: duration('SHARD_LEASE', {
      default: '5s',
      min: '1s',
      max: '5m',
      doc: 'Silence of a health process after which another takes its shards, by the database clock.',
    }),
    flushIntervalMs: duration('LIVENESS_FLUSH_INTERVAL', {
      default: '1s',
      min: '100ms',
      max: '1m',
      doc: 'Time between two writes of liveness: how much of it a crash forgets.',
    }),
    flowDeadlineMs: duration('FLOW_DEADLINE', {
      default: '60s',
      min: '1s',
      max: '2h',
      doc: 'Time after which a failover gives up and is tried again later.',
    }),
  },
  ({ heartbeatIntervalMs, heartbeatTimeoutMs }) =>
    heartbeatTimeoutMs < 3 * heartbeatIntervalMs
      ? [{ name: 'HEARTBEAT_TIMEOUT', problem: 'is less than three times HEARTBEAT_INTERVAL' }]
      : [],
);

export type HealthConfig = ReturnType<typeof readConfig>;

export function advertisedAddress(config: Pick<HealthConfig, 'advertised'>): string {
  return formatHostPort(config.advertised);
}
