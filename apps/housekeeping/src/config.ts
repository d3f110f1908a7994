import {
  duration,
  grpcServerSettings,
  integer,
  oneOf,
  processSettings,
  secretFile,
  settings,
  text,
} from '@octavia/service';

/** Every setting of housekeeping. Bad ones stop the start, and all of them are reported at once. */
export const readConfig = settings({
  process: processSettings,
  database: {
    url: secretFile('DATABASE_URL_FILE', {
      orVariable: 'DATABASE_URL',
      doc: 'File with the connection string of PostgreSQL 14 or later.',
    }),
    poolSize: integer('DATABASE_POOL_SIZE', { default: 5, min: 2, max: 200, doc: 'Connections at most.' }),
  },
  grpc: grpcServerSettings,
  intervalMs: duration('HOUSEKEEPING_INTERVAL', {
    default: '30s',
    min: '100ms',
    max: '1h',
    doc: 'Time between two rounds: spares, deletions, and load balancers that nobody works on.',
  }),
  cleanupIntervalMs: duration('CLEANUP_INTERVAL', {
    default: '30s',
    min: '100ms',
    max: '1d',
    doc: 'Time between two removals of what is older than its age.',
  }),
  spares: {
    size: integer('SPARE_AMPHORA_POOL_SIZE', {
      default: 0,
      min: 0,
      max: 10_000,
      doc: 'Amphorae that are kept ready, those being built included. 0: none.',
    }),
    maxDeploying: integer('MAXIMUM_DEPLOYING_AMPHORA_COUNT', {
      default: 10,
      min: 1,
      max: 1_000,
      doc: 'Spares that are built at once, at most.',
    }),
    computeDriver: text('COMPUTE_DRIVER', {
      default: 'local',
      doc: 'Compute driver of the worker, which builds the spares.',
    }),
    class: {
      computeFlavor: text('COMPUTE_FLAVOR', { default: '', doc: 'Compute flavor of the spares.' }),
      imageTag: text('AMPHORA_IMAGE_TAG', { default: '', doc: 'Tag of the image of the spares.' }),
      zone: text('AVAILABILITY_ZONE', { default: '', doc: 'Zone of the spares.' }),
      topology: oneOf('LOADBALANCER_TOPOLOGY', ['SINGLE', 'ACTIVE_STANDBY'], {
        default: 'SINGLE',
        doc: 'Topology of the load balancers that take the spares.',
      }),
    },
  },
  certificates: {
    intervalMs: duration('CERT_INTERVAL', {
      default: '1h',
      min: '100ms',
      max: '1d',
      doc: 'Time between two searches for certificates of agents that run out soon.',
    }),
    bufferMs: duration('CERT_EXPIRY_BUFFER', {
      default: '14d',
      min: '1m',
      max: '365d',
      doc: 'Certificates of agents are replaced so long before they run out; less than CERT_VALIDITY_TIME of the worker.',
    }),
  },
  orphans: {
    intervalMs: duration('ORPHAN_INTERVAL', {
      default: '10m',
      min: '100ms',
      max: '1d',
      doc: 'Time between two searches for instances and addresses that the database does not know.',
    }),
    graceMs: duration('ORPHAN_GRACE', {
      default: '10m',
      min: '0s',
      max: '1d',
      doc: 'Instances that are younger are left alone by that search.',
    }),
  },
  flowDeadlineMs: duration('FLOW_DEADLINE', {
    default: '60s',
    min: '1s',
    max: '2h',
    doc: 'Time after which a flow that housekeeping starts gives up.',
  }),
  retention: {
    amphoraMs: duration('AMPHORA_EXPIRY_AGE', {
      default: '7d',
      doc: 'Age at which the row of a DELETED amphora goes.',
    }),
    loadBalancerMs: duration('LOAD_BALANCER_EXPIRY_AGE', {
      default: '7d',
      doc: 'Age at which the rows of a DELETED load balancer go.',
    }),
    flowMs: duration('FLOW_RETENTION', { default: '7d', doc: 'Age at which a finished flow goes.' }),
    eventMs: duration('EVENT_RETENTION', {
      default: '7d',
      doc: 'Age at which an event goes: how long a watcher may be away. Revisions go too, but the newest 1000 of a load balancer.',
    }),
    idempotencyMs: duration('IDEMPOTENCY_RETENTION', {
      default: '1d',
      doc: 'Age at which a request id is forgotten, so that the same request would be done again.',
    }),
    statisticsMs: duration('STATISTICS_RETENTION', {
      default: '7d',
      doc: 'Age at which the statistics of a deleted listener go.',
    }),
  },
});

export type HousekeepingConfig = ReturnType<typeof readConfig>;
