import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { CLONE } from './home.ts';
import { LogFile, readableLine } from './log.ts';
import { endAll, identify } from './processes.ts';
import type { Service } from './services.ts';

/** A service that starts is SERVING after 0.5 to 2 s; much more means that it never will. */
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 20_000;
const HEALTH_LIMIT_MS = 2_000;
const SERVING = 'SERVING';
/** A service that ends by itself is started again after this, doubled each time up to the limit. */
const RESTART_MS = 500;
const RESTART_LIMIT_MS = 10_000;
/** A service that ran this long has earned a quick restart again. */
const STEADY_MS = 60_000;

interface Tls {
  readonly caFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

const HealthClient = makeGenericClientConstructor(healthService, 'Health');

/** Runs one service: starts it, shows its warnings, and starts it again when it ends by itself. */
export class Supervisor {
  readonly service: Service;
  readonly #dataFolder: string;
  readonly #log: LogFile;
  readonly #tls: Tls;
  readonly #say: (line: string) => void;
  #child: ChildProcess | null = null;
  #stopping = false;
  #restartMs = RESTART_MS;
  #lastWords = '';
  #isTold = false;

  constructor(service: Service, dataFolder: string, logFolder: string, tls: Tls, say: (line: string) => void) {
    this.service = service;
    this.#dataFolder = dataFolder;
    this.#log = new LogFile(join(logFolder, `${service.name}.log`));
    this.#tls = tls;
    this.#say = say;
  }

  /** Starts the service and returns once it is SERVING. @throws Error with its last words */
  async start(): Promise<void> {
    this.#spawn();
    const giveUpAt = performance.now() + START_LIMIT_MS;
    for (;;) {
      if (await this.isServing()) return;
      if (this.#child?.exitCode !== null || performance.now() > giveUpAt) {
        throw new Error(
          `${this.service.name} does not start. Its log is ${this.#log.path}. Its last words:\n${this.#lastWords}`,
        );
      }
      await sleep(25);
    }
  }

  /** From now on what the service does is told, too, and not only its trouble. */
  tell(): void {
    this.#isTold = true;
  }

  /** Asks the service to drain and end; ends it after a limit. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const pid = this.#child?.pid;
    const id = pid === undefined ? null : await identify(pid);
    if (id) await endAll([id], STOP_LIMIT_MS);
    this.#log.close();
  }

  #spawn(): void {
    const startedAt = performance.now();
    // A session of its own: Ctrl-C reaches only the launcher, which stops everything in order. The pipe on descriptor 3 tells the
    // service that the launcher is gone, however it went.
    const child = spawn(
      process.execPath,
      [...nodeFlags(this.service), '--import', telemetry, this.service.program, '--data-folder', this.#dataFolder],
      {
        cwd: CLONE,
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
        env: { MALLOC_ARENA_MAX, ...this.service.env, OCTAVIA_PARENT_FD: '3' },
      },
    );
    this.#child = child;
    this.#lastWords = '';
    const hear = (line: string): void => {
      this.#log.write(line);
      this.#lastWords = `${this.#lastWords}${line}\n`.slice(-2000);
      const readable = readableLine(this.service.name, line, !this.#isTold);
      if (readable !== null) this.#say(readable);
    };
    if (child.stdout) forEachLine(child.stdout, hear);
    if (child.stderr) forEachLine(child.stderr, hear);
    child.once('error', (error) => hear(String(error)));
    child.once('exit', (code, signal) => {
      if (this.#stopping || !this.#hasServed) return;
      if (performance.now() - startedAt > STEADY_MS) this.#restartMs = RESTART_MS;
      this.#say(
        `${this.service.name} ended (${signal ?? `exit code ${code}`}); starting it again in ${this.#restartMs} ms`,
      );
      setTimeout(() => {
        if (!this.#stopping) this.#spawn();
      }, this.#restartMs);
      this.#restartMs = Math.min(this.#restartMs * 2, RESTART_LIMIT_MS);
    });
  }

  #hasServed = false;

  /** Whether the service answers its health check with SERVING. */
  async isServing(): Promise<boolean> {
    const tls = credentials.createSsl(
      readFileSync(this.#tls.caFile),
      readFileSync(this.#tls.keyFile),
      readFileSync(this.#tls.certificateFile),
    );
    // By name, which its certificate has too: TLS knows no addresses as server names.
    const options = { 'grpc.ssl_target_name_override': this.service.name };
    const client: Client & Record<string, unknown> = new HealthClient(this.service.address, tls, options) as never;
    try {
      const reply = await new Promise<{ status: string }>((done, fail) => {
        const check = client.check as (
          request: object,
          options: object,
          callback: (error: Error | null, reply: { status: string }) => void,
        ) => void;
        check.call(client, { service: '' }, { deadline: Date.now() + HEALTH_LIMIT_MS }, (error, value) =>
          error ? fail(error) : done(value),
        );
      });
      this.#hasServed ||= reply.status === SERVING;
      return reply.status === SERVING;
    } catch {
      return false;
    } finally {
      client.close();
    }
  }
}

/** Memory arenas of glibc: one for each thread that allocates, by default, and each keeps what it once had. */
const MALLOC_ARENA_MAX = '2';
/** MiB of each of the three parts for young objects; Node's 16 stay resident after the first load, of which a service has little. */
const YOUNG_MIB = 4;

/** heartbeat-udp makes most garbage, and keeps Node's own choice. */
function nodeFlags({ name }: Service): string[] {
  return ['--enable-source-maps', ...(name === 'heartbeat-udp' ? [] : [`--max-semi-space-size=${YOUNG_MIB}`])];
}

const telemetry = join(CLONE, 'libs/service/dist/telemetry/register.js');

function forEachLine(stream: NodeJS.ReadableStream, hear: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (data: string) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') hear(line);
  });
}
