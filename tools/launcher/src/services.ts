import { join } from 'node:path';
import type { NamespacePlan } from '@octavia/drivers';
import { CLONE, type Home } from './home.ts';
import type { Installation, PortName, Secrets } from './installation.ts';
import type { Authority, CertificateFiles } from './pki.ts';

/** One of our five processes: what to run, with which settings. */
export interface Service {
  readonly name: ServiceName;
  /** host:port of its gRPC server. */
  readonly address: string;
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The user without rights that every Debian has. */
export const UNPRIVILEGED_USER = 'nobody';

/** In the order in which they start; they stop in reverse. */
export const SERVICE_NAMES = ['health', 'heartbeat-udp', 'worker', 'housekeeping', 'api-gateway'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** Clients beside our services: the command line, and the API tier. */
export const CLIENT_NAMES = ['octaviactl', 'api-tier'] as const;

const PORTS: Record<ServiceName, [grpc: PortName, metrics: PortName]> = {
  health: ['health', 'healthMetrics'],
  'heartbeat-udp': ['heartbeatUdp', 'heartbeatUdpMetrics'],
  worker: ['worker', 'workerMetrics'],
  housekeeping: ['housekeeping', 'housekeepingMetrics'],
  'api-gateway': ['apiGateway', 'apiGatewayMetrics'],
};

/** Who may call whom; any of our certificates may ask for the health of a service. */
const ALLOWED_CLIENTS: Record<ServiceName, readonly string[]> = {
  health: ['heartbeat-udp', 'api-gateway'],
  'heartbeat-udp': ['api-gateway'],
  worker: ['api-gateway'],
  housekeeping: ['api-gateway'],
  'api-gateway': CLIENT_NAMES,
};

export interface Plan {
  readonly home: Home;
  readonly installation: Installation;
  readonly secrets: Secrets;
  readonly databaseUrlFile: string;
  /** In namespaces mode; null in loopback mode. */
  readonly networks: NamespacePlan | null;
  readonly servicesCa: Authority;
  readonly amphoraeCa: Authority;
  readonly certificates: Readonly<Record<ServiceName, CertificateFiles>>;
  readonly agentClient: CertificateFiles;
  /** Settings of the caller's own environment: they win over ours. */
  readonly env: NodeJS.ProcessEnv;
}

/** Local defaults: quick, because everything is on one machine. Source: issue "The main job". */
const LOCAL_DEFAULTS = {
  HEARTBEAT_INTERVAL: '1s',
  HEARTBEAT_TIMEOUT: '4s',
  HEALTH_CHECK_INTERVAL: '250ms',
  HOUSEKEEPING_INTERVAL: '1s',
  SPARE_AMPHORA_POOL_SIZE: '1',
  LOG_LEVEL: 'info',
  COMPUTE_DRIVER: 'local',
  NETWORK_DRIVER: 'local',
  AMPHORA_DRIVER: 'haproxy',
  CERTIFICATES_DRIVER: 'local',
} as const;

/** The five services with all of their settings. */
export function servicesOf(plan: Plan): Service[] {
  return SERVICE_NAMES.map((name) => ({
    name,
    address: addressOf(plan, PORTS[name][0]),
    program: join(CLONE, 'apps', name, 'dist', 'main.js'),
    env: { ...commonSettings(plan, name), ...OWN_SETTINGS[name](plan), ...runAs(name) },
  }));
}

/** Whoever parses foreign input gives root away; the worker drives what only root may. */
function runAs(name: ServiceName): Record<string, string> {
  return process.getuid?.() === 0 && name !== 'worker' ? { RUN_AS: UNPRIVILEGED_USER } : {};
}

function addressOf({ installation }: Plan, port: PortName): string {
  return `127.0.0.1:${installation.ports[port]}`;
}

/** Amphorae with a network of their own reach this machine at its address there, and only there. */
function heartbeatAddress(plan: Plan): string {
  const { networks, installation } = plan;
  return networks
    ? `${networks.management.hostAddress}:${installation.ports.heartbeats}`
    : addressOf(plan, 'heartbeats');
}

function commonSettings(plan: Plan, name: ServiceName): Record<string, string> {
  const [grpc, metrics] = PORTS[name];
  const certificate = plan.certificates[name];
  const fromCaller = Object.entries(plan.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('npm_'),
  );
  return {
    ...LOCAL_DEFAULTS,
    ...Object.fromEntries(fromCaller),
    OTEL_SERVICE_NAME: name,
    OCTAVIA_HOME: plan.home.path,
    INSTALLATION_ID: plan.installation.id,
    GRPC_BIND: addressOf(plan, grpc),
    METRICS_BIND: addressOf(plan, metrics),
    TLS_CERT_FILE: certificate.certificateFile,
    TLS_KEY_FILE: certificate.keyFile,
    TLS_CA_FILE: plan.servicesCa.certificateFile,
    GRPC_ALLOWED_CLIENTS: ALLOWED_CLIENTS[name].join(','),
  };
}

const OWN_SETTINGS: Record<ServiceName, (plan: Plan) => Record<string, string>> = {
  health: (plan) => ({
    DATABASE_URL_FILE: plan.databaseUrlFile,
    ADVERTISED_ADDRESS: addressOf(plan, 'health'),
  }),
  'heartbeat-udp': (plan) => ({
    HEARTBEAT_BIND: heartbeatAddress(plan),
    HEARTBEAT_KEY_FILE: plan.secrets.heartbeatKeyFile,
    HEALTH_ADDRESS: addressOf(plan, 'health'),
  }),
  worker: (plan) => ({
    DATABASE_URL_FILE: plan.databaseUrlFile,
    RUNTIME_FOLDER: plan.installation.runtimeFolder,
    AGENT_BUNDLE_FILE: join(CLONE, 'apps/amphora-agent/dist/amphora-agent.mjs'),
    CA_CERTIFICATE_FILE: plan.amphoraeCa.certificateFile,
    CA_PRIVATE_KEY_FILE: plan.amphoraeCa.keyFile,
    AGENT_CLIENT_CERT_FILE: plan.agentClient.certificateFile,
    AGENT_CLIENT_KEY_FILE: plan.agentClient.keyFile,
    AGENT_SERVER_CA_FILE: plan.amphoraeCa.certificateFile,
    CLIENT_CA_FILE: plan.amphoraeCa.certificateFile,
    HEARTBEAT_KEY_FILE: plan.secrets.heartbeatKeyFile,
    CONTROLLER_IP_PORT_LIST: heartbeatAddress(plan),
    LOCAL_MODE: plan.installation.mode,
    SECRETS_KEY_FILE: plan.secrets.secretsKeyFile,
  }),
  housekeeping: (plan) => ({ DATABASE_URL_FILE: plan.databaseUrlFile }),
  'api-gateway': (plan) => ({
    DATABASE_URL_FILE: plan.databaseUrlFile,
    WORKER_ADDRESS: addressOf(plan, 'worker'),
    HEALTH_ADDRESS: addressOf(plan, 'health'),
    HOUSEKEEPING_ADDRESS: addressOf(plan, 'housekeeping'),
    HEARTBEAT_UDP_ADDRESS: addressOf(plan, 'heartbeatUdp'),
  }),
};
