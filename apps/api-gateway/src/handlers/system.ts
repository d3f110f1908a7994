import {
  Deployments,
  type FlowRecord,
  Flows,
  firstToExpire,
  type HeartbeatCounts,
  heartbeatCounts,
  type Overview,
  overview,
  schemaVersion,
} from '@octavia/db';
import { type Caller, type Deployment, InvalidRequest } from '@octavia/domain';
import type {
  Capabilities,
  HealthMonitorType,
  LbAlgorithm,
  LogLevel,
  Protocol,
  SessionPersistence_Type,
  SetLogLevelRequest,
  SystemServiceService,
  SystemStatus,
  Topology,
} from '@octavia/proto';
import { CAPABILITIES } from '@octavia/render';
import { changeLogLevel, type Handlers, unary, VERSION } from '@octavia/service';
import { readScope, requireAdmin } from '../authorize.ts';
import type { Parts } from '../parts.ts';
import { enumOf } from '../translate/enums.ts';
import { type AskedProcess, certificatesOf, writeFailure, writeService } from '../translate/system.ts';
import { breakersOf, isNotClosed, listBreakers } from './breakers.ts';

/** How long a service may take to tell its state, in milliseconds. */
const CHECK_MS = 1_000;
/** Failed flows that are shown. Source: the contract. */
const FAILURES_SHOWN = 5;
/** Circuit breakers that are shown. Source: the contract. */
const BREAKERS_SHOWN = 10;

const flows = new Flows();
const deployments = new Deployments();

export function systemHandlers(parts: Parts): Handlers<typeof SystemServiceService> {
  return {
    getCapabilities: unary(async (_, { caller }) => {
      readScope(caller, 'Reading capabilities');
      return capabilities(await deployments.get(parts.db.reader));
    }),
    getSystemStatus: unary((_, { caller }) => systemStatus(parts, caller)),
    listBreakers: unary((request, { caller }) => listBreakers(parts, request, caller)),
    setLogLevel: unary((request, { caller }) => setLogLevel(parts, request, caller)),
  };
}

function capabilities(deployment: Deployment | null): Capabilities {
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
    topologies: (deployment?.topologies ?? []).map((word) => enumOf<Topology>('TOPOLOGY_', word)),
  };
}

/** Answers whatever is down: what does not answer is what an operator wants to see. */
async function systemStatus(parts: Parts, caller: Caller): Promise<SystemStatus> {
  requireAdmin(caller, 'Reading the state of the system');
  const [processes, { drivers, mode, hostAddress }, database, breakers] = await Promise.all([
    askProcesses(parts),
    readDrivers(parts),
    readDatabase(parts),
    // The worker's state says when it does not answer.
    breakersOf(parts).then(
      (all) => all.filter(isNotClosed),
      () => [],
    ),
  ]);
  const services = processes.map(writeService);
  return {
    version: VERSION,
    installationId: database?.installationId ?? '',
    ready: database !== null && services.every(({ state }) => state === 'SERVING'),
    services,
    database: database === null ? '' : `PostgreSQL ${database.serverVersion.split(' ')[0]}`,
    schema: database?.schema ?? '',
    flowsQueued: database?.flowsQueued ?? 0,
    flowsRunning: database?.flowsRunning ?? 0,
    sparesReady: database?.sparesReady ?? 0,
    sparesWanted: parts.installation.sparesWanted,
    drivers,
    loadBalancers: database?.loadBalancers ?? 0,
    amphorae: database?.amphorae ?? 0,
    mode,
    certificates: certificatesOf(processes, database?.firstToExpire ?? null, new Date()),
    oldestQueuedSeconds: database?.oldestQueuedSeconds ?? 0,
    lastFailures: database?.failures.map(writeFailure) ?? [],
    heartbeats: database?.heartbeats,
    breakers: breakers.slice(0, BREAKERS_SHOWN),
    breakersOpen: breakers.length,
    hostAddress,
  };
}

/** This gateway first; the others at once, each within its time. */
async function askProcesses({ installation }: Parts): Promise<AskedProcess[]> {
  const { self, address, services, processes } = installation;
  const us = { name: 'api-gateway', address, state: 'SERVING', process: self.describe() };
  const others = services.map(async (service) => ({
    ...service,
    ...(await processes.ask(service.address, CHECK_MS)),
  }));
  return [us, ...(await Promise.all(others))];
}

async function readDrivers({ lookup }: Parts): Promise<Pick<SystemStatus, 'drivers' | 'mode' | 'hostAddress'>> {
  try {
    const { names, mode = '', hostAddress = '' } = await lookup.getDrivers({}, { deadlineMs: CHECK_MS });
    return { drivers: names, mode, hostAddress };
  } catch {
    // The worker's state says so.
    return { drivers: {}, mode: '', hostAddress: '' };
  }
}

interface DatabaseState extends Overview {
  readonly schema: string;
  readonly failures: readonly FlowRecord[];
  readonly heartbeats: HeartbeatCounts;
  readonly firstToExpire: { readonly amphoraId: string; readonly expiresAt: Date } | null;
}

async function readDatabase({ db, installation }: Parts): Promise<DatabaseState | null> {
  try {
    const [found, schema, failures, heartbeats, first] = await Promise.all([
      overview(db.reader),
      schemaVersion(db.reader),
      flows.failed(db.reader, FAILURES_SHOWN),
      heartbeatCounts(db.reader, installation.heartbeatTimeoutMs),
      firstToExpire(db.reader),
    ]);
    return { ...found, schema, failures, heartbeats, firstToExpire: first };
  } catch {
    return null;
  }
}

async function setLogLevel(
  { installation }: Parts,
  { service, level, revertAfter }: SetLogLevelRequest,
  caller: Caller,
): Promise<LogLevel> {
  requireAdmin(caller, 'Changing what a service logs');
  const request = { level, revertAfter };
  if (service === 'api-gateway') return changeLogLevel(request);
  const other = installation.services.find(({ name }) => name === service);
  if (other) return installation.processes.setLogLevel(other.address, request);
  const names = ['api-gateway', ...installation.services.map(({ name }) => name)].join(', ');
  throw new InvalidRequest([{ field: 'service', description: `must be one of ${names}`, reason: 'UNKNOWN_SERVICE' }]);
}
