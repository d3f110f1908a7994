import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { AgentConfig } from '../config.ts';
import type { ControlGroups } from '../control-groups.ts';
import { codeOf, messageOf, RequestError } from '../errors.ts';
import { readIfThere, replaceFile } from '../files.ts';
import type { Step } from '../http/step.ts';
import {
  findMaster,
  type HaproxyRecord,
  hasArgument,
  isAlive,
  type ProcessBook,
  type ProcessIdentity,
  readProcess,
} from '../processes.ts';
import { unbindable } from './addresses.ts';
import { askHaproxy } from './cli-socket.ts';
import { checkConfiguration } from './command.ts';
import {
  endAllOf,
  type MasterPaths,
  NotLive,
  outputSize,
  reloadMaster,
  spawnMaster,
  stopMaster,
  waitUntilStarted,
} from './master.ts';
import { putEntries, untaughtEntries } from './stick-tables.ts';
import { type Address, type HaproxyText, HaproxyTextError, readHaproxyText } from './text.ts';

/** The state of thousands of servers is written in a few milliseconds; a reload must not wait long for it. */
const SAVE_STATE_TIMEOUT_MS = 500;

/** What a load balancer's HAProxy shares with the others of this amphora. */
export interface Surroundings {
  readonly config: AgentConfig;
  /** Name of this amphora in a peers section. */
  readonly peer: string;
  /** A file with the group line, read after the configuration; null when HAProxy keeps its user. */
  readonly userGroupFile: string | null;
  readonly book: ProcessBook;
  readonly groups: ControlGroups;
  readonly log: Logger;
  /** Called after what is served has changed, and when HAProxy died. */
  changed(): void;
}

/**
 * One load balancer of this amphora: its files and its HAProxy.
 *
 * `haproxy.cfg` is what was uploaded last and passed the check. `haproxy.cfg.good` is what HAProxy came to serve last: when a start or
 * a reload fails, it goes back to `haproxy.cfg`. Nothing here starts an HAProxy that died: that is the controller's decision.
 */
export class LoadBalancer {
  readonly id: string;
  readonly #around: Surroundings;
  #master: ProcessIdentity | null = null;
  #workers: readonly ProcessIdentity[] = [];
  #isWanted = false;

  constructor(id: string, around: Surroundings) {
    this.id = id;
    this.#around = around;
  }

  /** The uploaded text as it was received, or null. */
  stored(): Buffer | null {
    return readIfThere(this.#file);
  }

  /** What the agent reads out of the uploaded text; null when there is none. */
  storedText(): HaproxyText | null {
    const content = this.stored();
    return content && readHaproxyText(content.toString('utf8'), this.#around.peer);
  }

  /** Addresses that clients reach it at, of the uploaded text and of the one that is served. */
  get vips(): readonly string[] {
    const texts = [this.stored(), readIfThere(this.#goodFile)].filter((content) => content !== null);
    const found = texts.map((content) => readHaproxyText(content.toString('utf8'), this.#around.peer).vips);
    return [...new Set(found.flat())];
  }

  get isRunning(): boolean {
    return this.#master !== null && isAlive(this.#master);
  }

  /** Whether HAProxy should run: from when it came to serve until it is stopped, its death included. */
  get isWanted(): boolean {
    return this.#isWanted;
  }

  /** Of the running master, or null. */
  get masterPid(): number | null {
    return this.isRunning ? (this.#master?.pid ?? null) : null;
  }

  /** The socket to ask for statistics while HAProxy runs, or null. */
  get liveStatsSocket(): string | null {
    return this.isRunning ? this.#statsSocket() : null;
  }

  /**
   * Takes a running HAProxy that an earlier agent left.
   * @returns whether there was one
   */
  adopt(record: HaproxyRecord): boolean {
    const { pid, startTime } = record;
    this.#isWanted = true;
    const isIt = pid !== null && startTime !== null && isAlive({ pid, startTime }) && hasArgument(pid, this.#file);
    // The earlier agent may have ended between the spawn and writing down the pid.
    const found = isIt ? readProcess(pid) : findMaster(this.#file);
    if (!found) return false;
    this.#master = { pid: found.pid, startTime: found.startTime };
    this.#workers = record.workers;
    this.#record(this.#master);
    return true;
  }

  /** Notices the end of an adopted HAProxy, which is not the agent's child. */
  noticeDeath(): void {
    if (this.#master && !this.isRunning) this.#died(this.#master, 'seen in the process table');
  }

  /**
   * Checks a text, and that its addresses can be had, and keeps it beside the one that is served. HAProxy goes on with the old one
   * until the next start or reload. So whatever stops here, what is on disk passed a check.
   * @throws RequestError 400 when HAProxy or the agent refuses it: then nothing has changed
   */
  async upload(content: Buffer, step: Step): Promise<void> {
    const text = decode(content);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const candidate = `${this.#file}.new`;
    replaceFile(candidate, content);
    try {
      const { config, peer } = this.#around;
      await step('check', 'haproxy check', () =>
        checkConfiguration(config.haproxyCommand, peer, this.#configFiles(candidate)),
      );
      const { addresses } = readHaproxyText(text, peer);
      this.noticeDeath();
      const taken = await unbindable(this.#newAddresses(addresses), config.haproxyCommand);
      if (taken !== null) throw new RequestError(400, 'Invalid request', taken);
    } catch (error) {
      renameSync(candidate, `${candidate}-failed`);
      if (error instanceof HaproxyTextError) throw new RequestError(400, 'Invalid request', error.message);
      throw error;
    }
    renameSync(candidate, this.#file);
  }

  /**
   * Makes HAProxy serve the uploaded text and returns when it does: starts it, or reloads it without losing a connection.
   * @throws RequestError 404 nothing uploaded; 500 it does not come to serve: then the last good text is back
   */
  async serve(step: Step): Promise<'started' | 'reloaded'> {
    const text = this.storedText();
    if (!text) throw new RequestError(404, 'Loadbalancer Not Found', `No loadbalancer with UUID: ${this.id}`);
    this.noticeDeath();
    const wasRunning = this.#master !== null;
    try {
      // One that cannot see the end of its master still has the addresses.
      if (!wasRunning && this.#workers.some(isAlive)) await endAllOf(this.#file);
      // Before HAProxy touches anything: it pauses the listeners that serve when it cannot bind a new one. They were free at the upload.
      const taken = await unbindable(this.#newAddresses(text.addresses), this.#around.config.haproxyCommand);
      if (taken !== null) throw new RequestError(500, 'Error starting haproxy', taken);
      if (this.#master) await step('reload', 'haproxy reload', () => this.#reload());
      else await step('start', 'haproxy start', () => this.#start(text));
    } catch (error) {
      this.#restoreGood();
      if (!(error instanceof NotLive)) throw error;
      const message = wasRunning ? 'Error reloading haproxy' : 'Error starting haproxy';
      throw new RequestError(500, message, error.message, { cause: error });
    }
    linkInto(this.#file, this.#goodFile);
    this.#isWanted = true;
    this.#around.changed();
    return wasRunning ? 'reloaded' : 'started';
  }

  /** Whether HAProxy runs and serves exactly the uploaded text. */
  get isUpToDate(): boolean {
    const [stored, good] = [this.stored(), readIfThere(this.#goodFile)];
    return this.isRunning && stored !== null && good !== null && stored.equals(good);
  }

  /** Ends HAProxy and keeps the files. Returns once none of its processes is left, whatever became of their master. */
  async stop(): Promise<void> {
    this.#isWanted = false;
    const master = this.#master;
    const statsSocket = this.#statsSocket();
    this.#master = null;
    if (master) await stopMaster(master, this.#workers);
    const wereOthers = await endAllOf(this.#file);
    this.#workers = [];
    if (!master && !wereOthers) return;
    rmSync(this.#masterSocket, { force: true });
    rmSync(statsSocket, { force: true });
    this.#around.book.remove(this.id);
    this.#around.changed();
  }

  /** Ends HAProxy and removes every file of the load balancer. */
  async remove(): Promise<void> {
    await this.stop();
    rmSync(join(this.#around.config.certificatesPath, this.id), { recursive: true, force: true });
    rmSync(this.#folder, { recursive: true, force: true });
    await this.#around.groups.remove(this.id);
  }

  async #start(text: HaproxyText): Promise<void> {
    const { config, peer, groups, log } = this.#around;
    const paths = this.#paths(text.statsSocket);
    mkdirSync(config.socketPath, { recursive: true, mode: 0o711 });
    // An old state would call members down that are long up again.
    rmSync(join(this.#folder, 'servers-state'), { force: true });
    const outputStart = outputSize(paths);
    this.#record(null);
    let master: ProcessIdentity | null = null;
    try {
      const died = (how: string) => master && this.#died(master, how);
      master = await spawnMaster(config.haproxyCommand, peer, paths, groups.make(this.id), died);
      this.#record(master);
      const workers = await waitUntilStarted(master, paths, outputStart);
      this.#master = master;
      this.#setWorkers(master, workers);
      log.info({ haproxy_pid: master.pid, 'octavia.load_balancer.id': this.id }, 'haproxy started');
    } catch (error) {
      this.#master = null;
      if (master) await stopMaster(master, []);
      this.#around.book.remove(this.id);
      throw error;
    }
  }

  async #reload(): Promise<void> {
    const master = this.#master;
    if (!master) throw new NotLive('HAProxy is gone');
    const statsSocket = this.#statsSocket();
    const state = await askHaproxy(statsSocket, 'show servers state', SAVE_STATE_TIMEOUT_MS).catch(() => null);
    if (state !== null) replaceFile(join(this.#folder, 'servers-state'), state);
    const stuck = await untaughtEntries(this.#masterSocket).catch(this.#tableLost([]));
    this.#setWorkers(master, await reloadMaster(master, this.#paths(statsSocket)));
    await putEntries(this.#masterSocket, stuck).catch(this.#tableLost(undefined));
  }

  /** A reload without them is better than none. */
  #tableLost<T>(instead: T): (error: unknown) => T {
    return (error) => {
      const context = { 'octavia.load_balancer.id': this.id, reason: messageOf(error) };
      this.#around.log.warn(context, 'stick tables were not carried over: clients may change their member once');
      return instead;
    };
  }

  /** Those that the running HAProxy does not have yet. */
  #newAddresses(addresses: readonly Address[]): Address[] {
    const good = this.isRunning ? readIfThere(this.#goodFile) : null;
    const bound = good ? readHaproxyText(good.toString('utf8'), this.#around.peer).addresses : [];
    return addresses.filter(({ host, port }) => !bound.some((b) => b.host === host && b.port === port));
  }

  #restoreGood(): void {
    try {
      linkInto(this.#goodFile, this.#file);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      // There never was a good one: this one must not pass for it.
      renameSync(this.#file, `${this.#file}.new-failed`);
    }
  }

  #died(master: ProcessIdentity, how: string): void {
    if (this.#master?.pid !== master.pid || this.#master.startTime !== master.startTime) return;
    const { log, book } = this.#around;
    this.#master = null;
    const context = { haproxy_pid: master.pid, 'octavia.load_balancer.id': this.id, how };
    log.error(context, 'haproxy died; its listeners are reported no more, the controller decides what to do');
    try {
      book.remove(this.id);
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'processes.json could not be written');
    }
    this.#around.changed();
  }

  #setWorkers(master: ProcessIdentity, pids: readonly number[]): void {
    this.#workers = pids.map(readProcess).filter((facts) => facts !== null);
    try {
      this.#record(master);
    } catch (error) {
      // They serve already, and are children of the master, which is recorded: no reason to fail.
      this.#around.log.warn({ reason: messageOf(error) }, 'processes.json could not be written');
    }
  }

  #record(master: ProcessIdentity | null): void {
    const facts = master && readProcess(master.pid);
    this.#around.book.set({
      loadBalancerId: this.id,
      pid: facts?.pid ?? null,
      startTime: facts?.startTime ?? null,
      processGroup: facts?.processGroup ?? null,
      configFile: this.#file,
      masterSocket: this.#masterSocket,
      statsSocket: this.#statsSocket(),
      workers: this.#workers.map(({ pid, startTime }) => ({ pid, startTime })),
    });
  }

  /** Of the text that is served, or else of the one to be served. */
  #statsSocket(): string {
    const served = this.#master && readIfThere(this.#goodFile);
    const content = served ?? this.stored();
    if (!content) return join(this.#around.config.socketPath, `${this.id}.sock`);
    return readHaproxyText(content.toString('utf8'), this.#around.peer).statsSocket;
  }

  #paths(statsSocket: string): MasterPaths {
    return {
      configFiles: this.#configFiles(this.#file),
      masterSocket: this.#masterSocket,
      statsSocket,
      outputFile: join(this.#folder, 'haproxy.log'),
    };
  }

  #configFiles(file: string): string[] {
    const { userGroupFile } = this.#around;
    return userGroupFile === null ? [file] : [file, userGroupFile];
  }

  get #folder(): string {
    return join(this.#around.config.basePath, this.id);
  }

  get #file(): string {
    return join(this.#folder, 'haproxy.cfg');
  }

  get #goodFile(): string {
    return `${this.#file}.good`;
  }

  get #masterSocket(): string {
    // Shorter than a UUID: HAProxy itself needs some of the 107 bytes.
    const name = createHash('sha256').update(this.id).digest('hex').slice(0, 16);
    return join(this.#around.config.socketPath, `${name}.m`);
  }
}

function decode(content: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch (error) {
    throw new RequestError(400, 'Invalid request', 'The configuration is not UTF-8 text', { cause: error });
  }
}

/**
 * Makes `to` a second name of `from`, in one step. A link needs no room on a full disk, and uploads replace a name, never the content
 * behind it.
 */
function linkInto(from: string, to: string): void {
  const temporary = `${to}.tmp`;
  rmSync(temporary, { force: true });
  linkSync(from, temporary);
  renameSync(temporary, to);
  // Renaming one name of a file onto another name of the same file does nothing, and leaves both.
  rmSync(temporary, { force: true });
}
