import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, replaceFile } from './files.ts';

/** A process for certain: pids are used again, but not with the same start time. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since the machine started. Stays through exec. */
  readonly startTime: number;
}

export interface ProcessFacts extends ProcessIdentity {
  readonly parent: number;
  readonly processGroup: number;
  /** Kernel letter; Z and X are dead processes that nobody has waited for. */
  readonly state: string;
}

/** What is recorded of one HAProxy. `pid` is null from just before it is spawned until just after. */
export interface HaproxyRecord {
  readonly loadBalancerId: string;
  readonly pid: number | null;
  readonly startTime: number | null;
  readonly processGroup: number | null;
  /** Its command line holds this path behind `-f`; so do its workers', which are its children. */
  readonly configFile: string;
  readonly masterSocket: string;
  readonly statsSocket: string;
  /** Workers when this was written. A worker dies with its master. */
  readonly workers: readonly ProcessIdentity[];
}

/** What is recorded of keepalived. `pid` is null from just before it is spawned until just after. */
export interface KeepalivedRecord {
  readonly pid: number | null;
  readonly startTime: number | null;
  /** Its command line holds this path behind `-f`; so does its child's. */
  readonly configFile: string;
  /** The child that does VRRP. */
  readonly vrrp: ProcessIdentity | null;
}

/** Reads /proc/<pid>/stat. Null: no such process, or it is dead and only not yet waited for. */
export function readProcess(pid: number): ProcessFacts | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything, so the fields are counted from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state = '', parent, processGroup] = fields;
    if (state === 'Z' || state === 'X') return null;
    return { pid, state, parent: Number(parent), processGroup: Number(processGroup), startTime: Number(fields[19]) };
  } catch {
    return null;
  }
}

/** Whether this very process still runs. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return readProcess(pid)?.startTime === startTime;
}

/** Sends a signal to this very process; returns false when it is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** The master among the processes that run with `argument` as one word of their command line, or null. */
export function findMaster(argument: string): ProcessFacts | null {
  const found = findProcesses((words) => words.includes(argument));
  const pids = new Set(found.map(({ pid }) => pid));
  return found.find(({ parent }) => !pids.has(parent)) ?? null;
}

/** The living processes whose command line fits. */
export function findProcesses(fits: (words: readonly string[]) => boolean): readonly ProcessFacts[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => fits(commandLine(name)))
    .map((name) => readProcess(Number(name)))
    .filter((facts) => facts !== null);
}

/** Whether the process runs with `argument` as one word of its command line. */
export function hasArgument(pid: number, argument: string): boolean {
  return commandLine(String(pid)).includes(argument);
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/**
 * `processes.json` in the data folder: pid and start time of the agent, of each HAProxy and of keepalived, so that whoever fences this amphora can
 * be certain. Written before a process is spawned and again after. All are in one process group, whose leader is an agent.
 */
export class ProcessBook {
  readonly #file: string;
  readonly #amphoraId: string;
  #agent: ProcessFacts | null = null;
  readonly #haproxies = new Map<string, HaproxyRecord>();
  #keepalived: KeepalivedRecord | null = null;

  constructor(dataFolder: string, amphoraId: string) {
    this.#file = join(dataFolder, 'processes.json');
    this.#amphoraId = amphoraId;
  }

  /** What an earlier agent in this folder left, if the machine has not been started anew since. */
  readPrevious(): readonly HaproxyRecord[] {
    const { haproxy } = this.#readFile();
    return Array.isArray(haproxy) ? (haproxy as Partial<HaproxyRecord>[]).filter(isRecord) : [];
  }

  /** The keepalived of an earlier agent; from now on it is written down again with everything else. Call it before anything is written. */
  readPreviousKeepalived(): KeepalivedRecord | null {
    const found = this.#readFile().keepalived as KeepalivedRecord | null | undefined;
    this.#keepalived = typeof found?.configFile === 'string' ? { ...found, vrrp: found.vrrp ?? null } : null;
    return this.#keepalived;
  }

  #readFile(): { readonly haproxy?: unknown; readonly keepalived?: unknown } {
    const found = readJson(this.#file) as { bootId?: unknown; haproxy?: unknown; keepalived?: unknown } | null;
    return found?.bootId === bootId() ? found : {};
  }

  writeAgent(agent: ProcessFacts): void {
    this.#agent = agent;
    this.#write();
  }

  set(record: HaproxyRecord): void {
    this.#haproxies.set(record.loadBalancerId, record);
    this.#write();
  }

  remove(loadBalancerId: string): void {
    if (this.#haproxies.delete(loadBalancerId)) this.#write();
  }

  setKeepalived(record: KeepalivedRecord | null): void {
    if (record === null && this.#keepalived === null) return;
    this.#keepalived = record;
    this.#write();
  }

  #write(): void {
    const { pid, startTime, processGroup } = this.#agent ?? { pid: null, startTime: null, processGroup: null };
    const content = {
      version: 1,
      amphoraId: this.#amphoraId,
      bootId: bootId(),
      agent: { pid, startTime, processGroup },
      haproxy: [...this.#haproxies.values()],
      keepalived: this.#keepalived,
    };
    replaceFile(this.#file, `${JSON.stringify(content, null, 2)}\n`, 0o644);
  }
}

function isRecord(record: Partial<HaproxyRecord>): record is HaproxyRecord {
  return [record.loadBalancerId, record.configFile, record.masterSocket, record.statsSocket].every(
    (value) => typeof value === 'string',
  );
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
