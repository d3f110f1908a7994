import { readFileSync } from 'node:fs';
import { type Installation, SERVICES } from './installation.ts';

/** Linux counts processor time in ticks of this many milliseconds. Source: sysconf(_SC_CLK_TCK), 100 on every Linux of today. */
const TICK_MS = 10;

/** Processor time that each service, PostgreSQL and this process used so far, in milliseconds. Unlike times of the clock, others hardly disturb it. */
export function processorTime(installation: Installation): Record<string, number> {
  const services = SERVICES.map((service) => [service, timeOf(installation.pidOf(service))] as const);
  // Its parent has waited for the connections that ended, and counts them.
  const [postgres] = installation.processesWith('/data -').concat(installation.processesWith('postgres/data'));
  return {
    ...Object.fromEntries(services),
    ...(postgres === undefined ? {} : { postgres: withChildren(postgres) }),
    bench: timeOf(process.pid),
  };
}

function timeOf(pid: number, isWithEnded = false): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, in brackets, may hold spaces. After it utime is the 12th field, stime the 13th, those of ended children follow.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, isWithEnded ? 15 : 13).reduce((sum, ticks) => sum + Number(ticks), 0) * TICK_MS;
}

function withChildren(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  const living = children === '' ? [] : children.split(' ').map(Number);
  return living.reduce((sum, child) => sum + timeOf(child), timeOf(pid, true));
}
