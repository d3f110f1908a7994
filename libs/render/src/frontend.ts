import type { Listener, LoadBalancer } from '@octavia/domain';
import type { HaproxyOptions } from './options.ts';
import type { ListenerPlan } from './plan.ts';
import { Section } from './text.ts';

/** Milliseconds. Source: Octavia's timeout_client_data. */
const CLIENT_TIMEOUT_MS = 50_000;
const PROJECT_ID = /^[A-Za-z0-9_.-]{1,255}$/;

/** The frontend of a listener. The agent parses `frontend <id>` at column 0 and the indented `mode`. */
export function frontend(
  loadBalancer: LoadBalancer,
  vip: string,
  plan: ListenerPlan,
  options: FrontendOptions,
): string {
  const { listener, mode, pool } = plan;
  const section = new Section(`frontend ${listener.id}`)
    .add('maxconn', connectionLimit(listener, options))
    .add(`bind ${vip}:${listener.protocolPort}`)
    .add('mode', mode);
  if (pool) section.add('default_backend', `${pool.pool.id}:${listener.id}`);
  section.add('timeout client', listener.timeoutClientData || CLIENT_TIMEOUT_MS);
  if (listener.timeoutTcpInspect > 0) section.add('tcp-request inspect-delay', listener.timeoutTcpInspect);
  if (options.logs) section.add('log-format', logFormat(loadBalancer, plan, options));
  return section.text();
}

export type FrontendOptions = HaproxyOptions & {
  /** Whether the amphora logs connections at all. */
  readonly logs: boolean;
};

/** Connections at once that a listener takes. */
export function connectionLimit(listener: Listener, options: HaproxyOptions): number {
  return listener.connectionLimit > 0 ? listener.connectionLimit : options.defaultConnectionLimit;
}

function logFormat(loadBalancer: LoadBalancer, { mode }: ListenerPlan, options: HaproxyOptions): string {
  // A project id comes from the caller's token: what could be a directive of the format is written as `-`.
  const projectId = PROJECT_ID.test(loadBalancer.projectId) ? loadBalancer.projectId : '-';
  let format = options.userLogFormat;
  if (mode === 'tcp') format = format.replaceAll(/%\{\+Q\}r|%r|%\{\+Q\}ST|%ST/g, '-');
  return format
    .replaceAll('{{ project_id }}', () => projectId)
    .replaceAll('{{ lb_id }}', () => loadBalancer.id)
    .replaceAll(' ', '\\ ');
}
