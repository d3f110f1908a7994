import { type Overview, overview, schemaVersion } from '@octavia/db';
import type { Caller } from '@octavia/domain';
import type {
  Capabilities,
  HealthMonitorType,
  LbAlgorithm,
  Protocol,
  SessionPersistence_Type,
  SystemServiceService,
  SystemStatus,
  SystemStatus_Service,
} from '@octavia/proto';
import { CAPABILITIES } from '@octavia/render';
import { formatHostPort, type Handlers, unary } from '@octavia/service';
import { readScope, requireAdmin } from '../authorize.ts';
import type { Parts } from '../parts.ts';
import { enumOf } from '../translate/enums.ts';

/** How long a service may take to tell its state, in milliseconds. */
const CHECK_MS = 1_000;

export function systemHandlers(parts: Parts): Handlers<typeof SystemServiceService> {
  return {
    getCapabilities: unary((_, { caller }) => {
      readScope(caller, 'Reading capabilities');
      return capabilities();
    }),
    getSystemStatus: unary((_, { caller }) => systemStatus(parts, caller)),
  };
}

function capabilities(): Capabilities {
  const protocol = (word: string) => enumOf<Protocol>('PROTOCOL_', word);
  return {
    listenerProtocols: CAPABILITIES.listenerProtocols.map(protocol),
    poolProtocols: CAPABILITIES.poolProtocols.map(protocol),
    lbAlgorithms: CAPABILITIES.lbAlgorithms.map((word) => enumOf<LbAlgorithm>('LB_ALGORITHM_', word)),
    healthMonitorTypes: CAPABILITIES.healthMonitorTypes.map((word) =>
      enumOf<HealthMonitorType>('HEALTH_MONITOR_TYPE_', word),
    ),
    sessionPersistenceTypes: CAPABILITIES.sessionPersistenceTypes.map((word) =>
      enumOf<SessionPersistence_Type>('TYPE_', word),
    ),
  };
}

/** Answers whatever is down: what does not answer is what an operator wants to see. */
async function systemStatus(parts: Parts, caller: Caller): Promise<SystemStatus> {
  requireAdmin(caller, 'Reading the state of the system');
  const { version, sparesWanted } = parts.installation;
  const [services, drivers, database] = await Promise.all([
    checkServices(parts),
    readDrivers(parts),
    readDatabase(parts),
  ]);
  return {
    version,
    installationId: database?.installationId ?? '',
    ready: database !== null && services.every(({ state }) => state === 'SERVING'),
    services,
    database: database === null ? '' : `PostgreSQL ${database.serverVersion.split(' ')[0]}`,
    schema: database?.schema ?? '',
    flowsQueued: database?.flowsQueued ?? 0,
    flowsRunning: database?.flowsRunning ?? 0,
    sparesReady: database?.sparesReady ?? 0,
    sparesWanted,
    drivers,
    loadBalancers: database?.loadBalancers ?? 0,
    amphorae: database?.amphorae ?? 0,
  };
}

async function checkServices({ installation }: Parts): Promise<SystemStatus_Service[]> {
  const { address, version } = installation;
  const us = { name: 'api-gateway', address: formatHostPort(address), state: 'SERVING', version };
  const others = installation.services.map(async (service) => ({
    name: service.name,
    address: formatHostPort(service.address),
    state: await installation.checkHealth(service.address, CHECK_MS),
    // grpc.health.v1 tells none.
    version: '',
  }));
  return [us, ...(await Promise.all(others))];
}

async function readDrivers({ lookup }: Parts): Promise<Record<string, string>> {
  try {
    const { names } = await lookup.getDrivers({}, { deadlineMs: CHECK_MS });
    return names;
  } catch {
    // The worker's state says so.
    return {};
  }
}

async function readDatabase({ db }: Parts): Promise<(Overview & { readonly schema: string }) | null> {
  try {
    const found = await overview(db.reader);
    return { ...found, schema: await schemaVersion((sql) => db.reader.query(sql)) };
  } catch {
    return null;
  }
}
