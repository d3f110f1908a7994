import type { FlowRecord } from '@octavia/db';
import type { SystemStatus_Certificate, SystemStatus_FlowFailure, SystemStatus_Service } from '@octavia/proto';
import { formatHostPort, type HostPort } from '@octavia/service';
import type { ProcessState } from '../processes.ts';

/** A process of ours, and what it said. */
export interface AskedProcess extends ProcessState {
  readonly name: string;
  readonly address: HostPort;
}

const DAY_MS = 86_400_000;

export function writeService({ name, address, state, process }: AskedProcess): SystemStatus_Service {
  return {
    name,
    address: formatHostPort(address),
    state,
    version: process?.version ?? '',
    startedAt: process?.startedAt,
    logLevel: process?.logLevel,
  };
}

/**
 * The certificates of all processes and, of amphorae, the one that runs out first; soonest first. Authorities that several trust
 * are told once.
 */
export function certificatesOf(
  processes: readonly AskedProcess[],
  amphora: { readonly amphoraId: string; readonly expiresAt: Date } | null,
  now: Date,
): SystemStatus_Certificate[] {
  const found = new Map<string, SystemStatus_Certificate>();
  const add = (holder: string, subject: string, expiresAt: Date | undefined): void => {
    if (!expiresAt) return;
    const daysLeft = Math.floor((expiresAt.getTime() - now.getTime()) / DAY_MS);
    found.set(`${holder} ${subject} ${expiresAt.getTime()}`, { holder, subject, expiresAt, daysLeft });
  };
  for (const { name, process } of processes) {
    for (const { subject, expiresAt, authority } of process?.certificates ?? []) {
      add(authority ? 'authority' : name, subject, expiresAt);
    }
  }
  if (amphora) add(`amphora ${amphora.amphoraId}`, '', amphora.expiresAt);
  return [...found.values()].sort((a, b) => Number(a.expiresAt) - Number(b.expiresAt));
}

export function writeFailure(flow: FlowRecord): SystemStatus_FlowFailure {
  return {
    flowId: flow.id,
    flow: flow.name,
    loadBalancerId: flow.loadBalancerId ?? '',
    amphoraId: flow.amphoraId ?? '',
    failedAt: flow.finishedAt ?? undefined,
    reason: flow.lastError?.reason ?? '',
    message: flow.lastError?.message ?? '',
    traceId: flow.traceContext.traceparent?.split('-')[1] ?? '',
  };
}
