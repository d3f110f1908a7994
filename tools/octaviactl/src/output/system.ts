/** The state of the controller, as people and programs read it. */
import type { Breaker, SystemStatus } from '@octavia/proto';
import { timeView } from '../resources/resource.ts';
import { formatList, formatObject, type View } from './format.ts';

/** Columns that lists of people have; programs get all. */
const SERVICE_COLUMNS = ['name', 'state', 'version', 'up', 'log_level', 'address'];
const CERTIFICATE_COLUMNS = ['holder', 'subject', 'expires_at', 'days_left'];
const FAILURE_COLUMNS = ['failed_at', 'flow', 'loadbalancer_id', 'reason', 'message', 'flow_id'];

export const BREAKER_COLUMNS = ['driver', 'endpoint', 'state', 'since', 'last_error'];

/** What one value each tells. */
export function summaryOf(found: SystemStatus): View {
  const { fresh = 0, silent = 0, never = 0 } = found.heartbeats ?? {};
  return {
    ready: found.ready,
    version: found.version,
    mode: found.mode || null,
    host_address: found.hostAddress || null,
    installation_id: found.installationId,
    database: found.database,
    schema: found.schema,
    flows_queued: found.flowsQueued,
    flows_running: found.flowsRunning,
    oldest_queued_seconds: found.oldestQueuedSeconds,
    spares_ready: found.sparesReady,
    spares_wanted: found.sparesWanted,
    load_balancers: found.loadBalancers,
    amphorae: found.amphorae,
    heartbeats: { fresh, silent, never },
    drivers: found.drivers,
    breakers_open: found.breakersOpen,
  };
}

/** The circuit breaker of one endpoint. */
export function breakerView(breaker: Breaker): View {
  const { driver, endpoint, state, since, retryAfter, lastErrorReason, lastErrorMessage, lastErrorAt } = breaker;
  return {
    driver,
    endpoint,
    state,
    since: timeView(since),
    retry_after_seconds: retryAfter ? Number(retryAfter.seconds) + retryAfter.nanos / 1e9 : null,
    last_error: lastErrorReason ? `${lastErrorMessage} [${lastErrorReason}]` : null,
    last_error_at: timeView(lastErrorAt),
  };
}

/** What several of a kind tell. */
export function listsOf(found: SystemStatus): {
  services: View[];
  certificates: View[];
  last_failures: View[];
  breakers: View[];
} {
  return {
    services: found.services.map(({ name, state, version, address, startedAt, logLevel }) => ({
      name,
      state,
      version,
      address,
      started_at: timeView(startedAt),
      log_level: logLevel?.level ?? null,
      log_level_reverts_at: timeView(logLevel?.revertsAt),
    })),
    certificates: found.certificates.map(({ holder, subject, expiresAt, daysLeft }) => ({
      holder,
      subject,
      expires_at: timeView(expiresAt),
      days_left: daysLeft,
    })),
    last_failures: found.lastFailures.map((failure) => ({
      failed_at: timeView(failure.failedAt),
      flow: failure.flow,
      loadbalancer_id: failure.loadBalancerId || null,
      amphora_id: failure.amphoraId || null,
      reason: failure.reason,
      message: failure.message,
      flow_id: failure.flowId,
      trace_id: failure.traceId || null,
    })),
    breakers: found.breakers.map(breakerView),
  };
}

/** Writes it in parts, for people. */
export async function printSystem(found: SystemStatus): Promise<void> {
  const { services, certificates, last_failures, breakers } = listsOf(found);
  const up = found.services.map(({ startedAt }) => (startedAt ? since(startedAt) : null));
  await list(
    'Services',
    services.map((row, index) => ({ ...row, up: up[index] ?? null })),
    SERVICE_COLUMNS,
  );
  heading('System');
  process.stdout.write(await formatObject(readable(found), { format: 'table' }));
  if (certificates.length > 0) await list('Certificates', certificates, CERTIFICATE_COLUMNS);
  if (breakers.length > 0) await list('Endpoints kept away from', breakers, BREAKER_COLUMNS);
  if (last_failures.length > 0) await list('Last failures', last_failures, FAILURE_COLUMNS);
}

/** Modes in a person's words. */
const MODES: Readonly<Record<string, string>> = {
  loopback: 'loopback: amphorae are processes on this machine, for development',
  namespaces: 'namespaces: amphorae are network namespaces on this machine',
};

/** Numbers that belong together in one line. */
function readable(found: SystemStatus): View {
  const { fresh = 0, silent = 0, never = 0 } = found.heartbeats ?? {};
  const oldest = found.oldestQueuedSeconds > 0 ? `, the oldest waits for ${found.oldestQueuedSeconds} s` : '';
  return {
    ready: found.ready,
    version: found.version,
    mode: MODES[found.mode] ?? found.mode,
    ...(found.hostAddress ? { members_on_this_machine: `listen on ${found.hostAddress}, or on all addresses` } : {}),
    installation_id: found.installationId,
    database: `${found.database || 'does not answer'}, schema ${found.schema || 'unknown'}`,
    queue: `${found.flowsRunning} run, ${found.flowsQueued} wait${oldest}`,
    spares: `${found.sparesReady} of ${found.sparesWanted} ready`,
    load_balancers: found.loadBalancers,
    amphorae: found.amphorae,
    heartbeats: `${fresh} heard, ${silent} silent, ${never} not yet`,
    drivers: found.drivers,
    breakers: found.breakersOpen === 0 ? 'all closed' : `${found.breakersOpen} endpoints are kept away from`,
  };
}

async function list(title: string, rows: readonly View[], columns: readonly string[]): Promise<void> {
  heading(title);
  process.stdout.write(await formatList(rows, columns, columns, { format: 'table' }));
}

function heading(title: string): void {
  process.stdout.write(`${title}\n`);
}

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
] as const;

/** Such as `3 h`: the largest unit that fits. */
function since(start: Date): string {
  const seconds = Math.max(0, Math.floor((Date.now() - start.getTime()) / 1000));
  for (const [unit, size] of UNITS) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${seconds} s`;
}
