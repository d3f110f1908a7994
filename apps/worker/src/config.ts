import { DRIVER_NAMES } from '@octavia/drivers';
import {
  type Contradiction,
  duration,
  file,
  folder,
  grpcServerSettings,
  hostPorts,
  integer,
  oneOf,
  secretFile,
  settings,
  text,
} from '@octavia/service';

/** What amphorae of the local drivers are. */
const LOCAL_MODES = ['loopback', 'namespaces'] as const;

const shape = {
  grpc: grpcServerSettings,
  database: {
    url: secretFile('DATABASE_URL_FILE', {
      orVariable: 'DATABASE_URL',
      doc: 'File with the connection string of PostgreSQL 14 or later.',
    }),
    poolSize: integer('DATABASE_POOL_SIZE', { default: 20, min: 2, max: 500, doc: 'Connections at most.' }),
  },
  flows: {
    leaseMs: duration('FLOW_LEASE', {
      default: '5s',
      min: '1s',
      max: '10m',
      doc: "Silence after which another worker takes a flow over, by the database's clock.",
    }),
    concurrency: integer('FLOW_CONCURRENCY', {
      default: 32,
      min: 2,
      max: 1_000,
      doc: 'Flows at once, at most; those that wait for something outside for over a second are not counted, up to ten times as many.',
    }),
    failoverSlots: integer('FLOW_FAILOVER_SLOTS', {
      default: 8,
      min: 0,
      max: 999,
      doc: 'So many of them are kept for failovers; fewer than FLOW_CONCURRENCY.',
    }),
    deadlineMs: duration('FLOW_DEADLINE', {
      default: '60s',
      min: '1s',
      max: '2h',
      doc: 'Time after which a flow that another flow starts gives up. More where virtual machines are built.',
    }),
    mendMs: duration('MEND_TIME', {
      default: '10s',
      min: '100ms',
      max: '10m',
      doc: 'How long an amphora of a pair that does not take a change is tried again before it is replaced.',
    }),
  },
  drivers: {
    compute: oneOf('COMPUTE_DRIVER', DRIVER_NAMES.compute, { default: 'local', doc: 'What builds amphorae.' }),
    network: oneOf('NETWORK_DRIVER', DRIVER_NAMES.network, {
      default: 'local',
      doc: 'What gives and plugs addresses.',
    }),
    amphora: oneOf('AMPHORA_DRIVER', DRIVER_NAMES.amphora, { default: 'haproxy', doc: 'What talks to agents.' }),
    certificates: oneOf('CERTIFICATES_DRIVER', DRIVER_NAMES.certificates, {
      default: 'local',
      doc: 'What issues the certificates of agents.',
    }),
  },
  noopFolder: text('NOOP_FOLDER', {
    default: '',
    doc: 'Folder where noop drivers keep the world that they pretend, so that it outlives the worker: for tests.',
  }),
  local: {
    installationId: text('INSTALLATION_ID', {
      doc: 'Id of this installation. Addresses of local drivers are derived from it, so that two share a machine.',
    }),
    dataFolder: folder('OCTAVIA_HOME', { doc: 'Data folder; amphorae of the local driver are below it.' }),
    runtimeFolder: folder('RUNTIME_FOLDER', {
      default: '/run/octavia',
      doc: 'Folder for sockets: short, because the path of a socket has at most 107 bytes.',
    }),
    agentBundle: file('AGENT_BUNDLE_FILE', { optional: true, doc: 'Bundle of the amphora agent, for local amphorae.' }),
    haproxyCmd: text('HAPROXY_CMD', { default: '', doc: 'Program of HAProxy, for local amphorae.' }),
    mode: oneOf('LOCAL_MODE', LOCAL_MODES, {
      default: 'loopback',
      doc: 'What local amphorae are: processes on addresses of 127.0.0.0/8, or network namespaces on bridges of their own (root only).',
    }),
    limits: {
      cpus: integer('LOCAL_AMPHORA_CPUS', {
        default: 2,
        min: 1,
        max: 1024,
        doc: 'Processors that one amphora may use, in namespaces mode, where the machine has control groups.',
      }),
      memoryMib: integer('LOCAL_AMPHORA_MEMORY', {
        default: 1024,
        min: 256,
        max: 1_048_576,
        unit: 'MiB',
        doc: 'Memory that one amphora may use, likewise.',
      }),
      pids: integer('LOCAL_AMPHORA_PIDS', {
        default: 1024,
        min: 128,
        max: 4_194_304,
        doc: 'Processes and threads that one amphora may have, likewise.',
      }),
    },
  },
  colocationLimit: integer('COLOCATION_LIMIT', {
    default: 1,
    min: 1,
    max: 64,
    doc: 'Load balancers of one project that one amphora may serve, where no flavor says otherwise. 1: each has an amphora of its own. Pairs always have.',
  }),
  buildSlots: integer('BUILD_SLOTS', {
    default: 0,
    min: -1,
    max: 10_000,
    doc: 'Amphorae that are built at once, at most, over all workers. 0: as suits the compute driver: two for each CPU with local, no limit with noop. -1: no limit.',
  }),
  amphora: {
    computeFlavor: text('COMPUTE_FLAVOR', { default: '', doc: 'Compute flavor of amphorae.' }),
    imageTag: text('AMPHORA_IMAGE_TAG', { default: '', doc: 'Tag of the image of amphorae.' }),
    zone: text('AVAILABILITY_ZONE', { default: '', doc: 'Zone of amphorae.' }),
  },
  agent: {
    clientCertFile: file('AGENT_CLIENT_CERT_FILE', { optional: true, doc: 'Our certificate before agents (PEM).' }),
    clientKeyFile: file('AGENT_CLIENT_KEY_FILE', { optional: true, doc: 'Its private key (PEM, mode 0600).' }),
    serverCaFile: file('AGENT_SERVER_CA_FILE', {
      optional: true,
      doc: 'Authorities of the certificates of agents (PEM).',
    }),
    heartbeatKey: secretFile('HEARTBEAT_KEY_FILE', { doc: 'Key that authenticates heartbeats.' }),
    heartbeatIntervalMs: duration('HEARTBEAT_INTERVAL', {
      default: '10s',
      min: '100ms',
      max: '10m',
      doc: 'Time between two heartbeats of an amphora.',
    }),
    controllers: hostPorts('CONTROLLER_IP_PORT_LIST', { min: 1, doc: 'Where amphorae send their heartbeats.' }),
  },
  certificates: {
    caCertificateFile: file('CA_CERTIFICATE_FILE', {
      optional: true,
      doc: 'Authority that signs the certificates of agents (PEM).',
    }),
    caKeyFile: file('CA_PRIVATE_KEY_FILE', { optional: true, doc: 'Its private key (PEM, mode 0600).' }),
    clientCaFile: file('CLIENT_CA_FILE', {
      optional: true,
      doc: 'Authorities by which agents know controllers (PEM).',
    }),
    validityMs: duration('CERT_VALIDITY_TIME', {
      default: '30d',
      min: '1h',
      max: '3650d',
      doc: 'Validity of the certificates of agents.',
    }),
  },
  secretsKeys: secretFile('SECRETS_KEY_FILE', {
    doc: 'Keys of secrets in the database: lines key-id:base64 of 32 bytes. The first encrypts, all decrypt.',
  }),
  vipRestMs: duration('VIP_REST_TIME', {
    default: '1m',
    doc: 'How long the address of a deleted load balancer rests before another gets it.',
  }),
} as const;

/** Every setting of the worker. Bad ones stop the start, and all of them are reported at once. */
export const readConfig = settings(shape, (config) => {
  const found: Contradiction[] = [];
  const needs = (isNeeded: boolean, name: string, value: string | undefined, driver: string): void => {
    if (isNeeded && value === undefined) found.push({ name, problem: `is not set, and ${driver} needs it` });
  };
  const { drivers, local, agent, certificates, flows } = config;
  needs(drivers.compute === 'local', 'AGENT_BUNDLE_FILE', local.agentBundle, 'COMPUTE_DRIVER=local');
  if (local.mode === 'namespaces' && (drivers.compute !== 'local' || drivers.network !== 'local')) {
    found.push({ name: 'LOCAL_MODE', problem: 'namespaces needs COMPUTE_DRIVER=local and NETWORK_DRIVER=local' });
  }
  const isHaproxy = drivers.amphora === 'haproxy';
  needs(isHaproxy, 'AGENT_CLIENT_CERT_FILE', agent.clientCertFile, 'AMPHORA_DRIVER=haproxy');
  needs(isHaproxy, 'AGENT_SERVER_CA_FILE', agent.serverCaFile, 'AMPHORA_DRIVER=haproxy');
  const isLocalCa = drivers.certificates === 'local';
  needs(isLocalCa, 'CA_CERTIFICATE_FILE', certificates.caCertificateFile, 'CERTIFICATES_DRIVER=local');
  needs(isLocalCa, 'CA_PRIVATE_KEY_FILE', certificates.caKeyFile, 'CERTIFICATES_DRIVER=local');
  if (flows.failoverSlots >= flows.concurrency) {
    found.push({ name: 'FLOW_FAILOVER_SLOTS', problem: 'must be less than FLOW_CONCURRENCY' });
  }
  return found;
});

export type WorkerConfig = ReturnType<typeof readConfig>;
