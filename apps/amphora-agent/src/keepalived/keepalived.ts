import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { messageOf, RequestError } from '../errors.ts';
import { readIfThere, replaceFile } from '../files.ts';
import {
  findMaster,
  hasArgument,
  isAlive,
  type KeepalivedRecord,
  type ProcessBook,
  type ProcessIdentity,
} from '../processes.ts';
import { HaproxyState } from './haproxy-state.ts';
import {
  doesVrrp,
  findVrrp,
  KeepalivedFailed,
  type KeepalivedPaths,
  type KeepalivedProcesses,
  keepalivedPaths,
  killAll,
  outputSize,
  preferVrrp,
  spawnKeepalived,
  stopKeepalived,
  waitUntilGone,
  waitUntilVrrp,
} from './process.ts';
import { dropVips, readVips } from './vips.ts';

/** A keepalived that dies is started again at once, but not more often than this within the time: then the controller decides. */
const MAX_RESTARTS = 3;
const RESTART_WINDOW_MS = 60_000;
/** How often the processes are looked at that are not the agent's children, or may have been stopped. */
const WATCH_EVERY_MS = 200;

export interface KeepalivedSurroundings {
  readonly basePath: string;
  /** Null: this agent cannot run keepalived. */
  readonly command: string | null;
  readonly book: ProcessBook;
  readonly log: Logger;
  /** What runs of HAProxy. */
  haproxy(): { readonly isServing: boolean; readonly pids: readonly number[] };
  /** Notices the end of HAProxy processes that are not the agent's children. */
  noticeDeaths(): void;
}

/**
 * The keepalived of this amphora: in a pair it decides which of the two has the VIP. Unlike an HAProxy, one that died is started again:
 * the VIP that it left behind goes away, the peer has it by then, and the amphora is a backup.
 */
export class Keepalived {
  readonly #around: KeepalivedSurroundings;
  readonly #paths: KeepalivedPaths;
  readonly #state: HaproxyState;
  #processes: KeepalivedProcesses | null = null;
  /** Whether it should run: from a start until a stop. */
  #isWanted = false;
  /** What the running one has read; null: not known. */
  #loaded: Buffer | null = null;
  #deaths: readonly number[] = [];
  #watch: NodeJS.Timeout | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(around: KeepalivedSurroundings) {
    this.#around = around;
    const folder = join(around.basePath, 'vrrp');
    this.#paths = keepalivedPaths(folder);
    this.#state = new HaproxyState(folder);
  }

  /** Whether heartbeats must stay out: this amphora should do VRRP and does not, and the controller is to replace it. As in Octavia. */
  get mustKeepSilent(): boolean {
    return existsSync(this.#paths.configFile) && !(this.#processes && doesVrrp(this.#processes));
  }

  /** Keeps a configuration, for the next start or reload. */
  upload(content: Buffer): void {
    this.#assertPossible('upload');
    mkdirSync(join(this.#paths.configFile, '..'), { recursive: true, mode: 0o755 });
    this.#state.prepare();
    replaceFile(this.#paths.configFile, content, 0o644);
  }

  /** Starts keepalived, or has the running one read what was uploaded. @throws RequestError 500 */
  start(): Promise<'started' | 'reloaded'> {
    return this.#exclusive(async () => {
      const wanted = this.#assertPossible('start');
      if (this.#processes && doesVrrp(this.#processes)) {
        this.#reload(this.#processes, wanted);
        return 'reloaded';
      }
      this.#deaths = [];
      await this.#spawn().catch((error) => this.#refuse('start', messageOf(error), error));
      return 'started';
    });
  }

  /** Has the running keepalived read what was uploaded. @throws RequestError 500 when none runs */
  reload(): Promise<void> {
    return this.#exclusive(async () => {
      const wanted = this.#assertPossible('reload');
      if (!this.#processes || !doesVrrp(this.#processes)) return this.#refuse('reload', 'keepalived does not run');
      this.#reload(this.#processes, wanted);
    });
  }

  /** Ends keepalived, which gives up the VIP. */
  stop(): Promise<void> {
    return this.#exclusive(async () => {
      const processes = this.#processes;
      this.#forget();
      this.#isWanted = false;
      clearInterval(this.#watch);
      if (processes && !(await stopKeepalived(processes))) await this.#dropVips();
      this.#around.book.setKeepalived(null);
      if (processes) this.#around.log.info({ keepalived_pid: processes.parent.pid }, 'keepalived stopped');
    });
  }

  /**
   * Takes the keepalived that an earlier agent left; one that died meanwhile is started again.
   * @param record what the earlier agent wrote down; null: it had none
   */
  adopt(record: KeepalivedRecord | null): void {
    if (!record || !existsSync(this.#paths.configFile)) return;
    const { pid, startTime, vrrp } = record;
    const isIt = pid !== null && startTime !== null && isAlive({ pid, startTime });
    const isOurs = isIt && hasArgument(pid, this.#paths.configFile);
    // The earlier agent may have ended between the spawn and writing down the pid.
    const found = isOurs ? { pid, startTime } : findMaster(this.#paths.configFile);
    this.#isWanted = true;
    this.haproxyChanged();
    if (!found) {
      this.#reviveSoon('gone when the agent came back', vrrp);
      return;
    }
    const parent = { pid: found.pid, startTime: found.startTime };
    this.#take({ parent, vrrp: findVrrp(parent, this.#paths) });
    this.#around.log.info({ keepalived_pid: parent.pid }, 'keepalived of an earlier agent adopted');
  }

  /** Tells keepalived what runs of HAProxy. Call it whenever that changes. */
  haproxyChanged(): void {
    if (!this.#isWanted) return;
    const { isServing, pids } = this.#around.haproxy();
    try {
      this.#state.tell(isServing, pids);
    } catch (error) {
      this.#around.log.error({ reason: messageOf(error) }, 'keepalived could not be told of HAProxy');
    }
  }

  async #spawn(): Promise<void> {
    const { book, log } = this.#around;
    const command = this.#around.command ?? '';
    this.#isWanted = true;
    this.haproxyChanged();
    book.setKeepalived({ pid: null, startTime: null, configFile: this.#paths.configFile, vrrp: null });
    const content = readIfThere(this.#paths.configFile);
    const outputStart = outputSize(this.#paths);
    let parent: ProcessIdentity | null = null;
    try {
      parent = await spawnKeepalived(command, this.#paths, (how) => parent && this.#died(parent, how));
      const vrrp = await waitUntilVrrp(parent, this.#paths, outputStart);
      this.#take({ parent, vrrp });
      this.#loaded = content;
      log.info({ keepalived_pid: parent.pid }, 'keepalived started');
      const obstacle = await preferVrrp(vrrp);
      if (obstacle) log.warn({ reason: obstacle }, 'keepalived gets no real time; a busy machine may cost it the VIP');
    } catch (error) {
      const vrrp = parent && findVrrp(parent, this.#paths);
      killAll([vrrp, parent].filter((identity) => identity !== null));
      this.#isWanted = false;
      this.#forget();
      await this.#dropVips();
      book.setKeepalived(null);
      throw error;
    }
  }

  #reload({ parent }: KeepalivedProcesses, content: Buffer): void {
    if (this.#loaded?.equals(content)) return;
    process.kill(parent.pid, 'SIGHUP');
    this.#loaded = content;
  }

  #take(processes: KeepalivedProcesses): void {
    const { parent, vrrp } = processes;
    this.#processes = processes;
    this.#around.book.setKeepalived({
      ...parent,
      configFile: this.#paths.configFile,
      vrrp: vrrp && { pid: vrrp.pid, startTime: vrrp.startTime },
    });
    clearInterval(this.#watch);
    this.#watch = setInterval(() => this.#look(), WATCH_EVERY_MS).unref();
  }

  #forget(): void {
    this.#processes = null;
    this.#loaded = null;
  }

  #look(): void {
    this.#around.noticeDeaths();
    const processes = this.#processes;
    if (!processes || doesVrrp(processes)) return;
    const { parent, vrrp } = processes;
    // The one that has the VIP first: its parent's death would have it wait a second.
    killAll(vrrp ? [vrrp, parent] : [parent]);
    this.#died(parent, 'dead or stopped, as seen in the process table');
  }

  #died(parent: ProcessIdentity, how: string): void {
    const processes = this.#processes;
    if (processes?.parent.pid !== parent.pid || processes.parent.startTime !== parent.startTime) return;
    this.#forget();
    clearInterval(this.#watch);
    this.#reviveSoon(how, processes.vrrp);
  }

  /** @param left process that may have outlived its parent */
  #reviveSoon(how: string, left: ProcessIdentity | null): void {
    const { log } = this.#around;
    const now = performance.now();
    this.#deaths = [...this.#deaths.filter((at) => now - at < RESTART_WINDOW_MS), now];
    const isHopeless = this.#deaths.length > MAX_RESTARTS;
    if (isHopeless) log.error({ how }, 'keepalived died too often; no heartbeat is sent, the controller decides');
    else log.error({ how }, 'keepalived died; it is started again as a backup');
    void this.#exclusive(async () => {
      if (!this.#isWanted || this.#processes) return;
      if (isHopeless) {
        await this.#dropVips();
        return;
      }
      // Its VRRP process gives up the VIP at once, and lingers for a second: its files must not be those of the next one.
      if (left) await waitUntilGone([left]);
      await this.#spawn();
    }).catch((error) => log.error({ reason: messageOf(error) }, 'keepalived could not be started again'));
  }

  async #dropVips(): Promise<void> {
    const text = readIfThere(this.#paths.configFile)?.toString('utf8') ?? '';
    await dropVips(readVips(text));
  }

  /** The uploaded text. */
  #assertPossible(action: string): Buffer {
    const content = readIfThere(this.#paths.configFile);
    if (this.#around.command === null)
      return this.#refuse(action, 'This agent has no keepalived: ACTIVE_STANDBY needs an amphora with VRRP');
    if (!content && action !== 'upload') return this.#refuse(action, 'Nothing was uploaded to /1.0/vrrp/upload yet');
    return content ?? Buffer.alloc(0);
  }

  #refuse(action: string, details: string, cause?: unknown): never {
    const why = cause instanceof KeepalivedFailed || cause === undefined ? undefined : { cause };
    throw new RequestError(500, `Failed to ${action} octavia-keepalived service`, details, why);
  }

  /** One change at a time: calls of the controller and the restart of a dead one. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}
