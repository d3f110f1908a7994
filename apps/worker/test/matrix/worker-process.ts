import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Commands } from './worker.ts';

/** Lines of the log that are kept for those who ask what went wrong. */
const MAX_LINES = 60;
/** An answer takes milliseconds; a worker that rests may wait for its steps. */
const ANSWER_LIMIT_MS = 20_000;

type Answer = { readonly id: number; readonly result?: unknown; readonly error?: string };

/** A worker process of the matrix, as the test sees it. */
export class WorkerProcess {
  readonly tell: Commands;
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, (answer: Answer) => void>();
  readonly #log: string[] = [];
  readonly #ready: Promise<void>;
  #trapped = Promise.withResolvers<void>();
  #next = 1;

  /** @param program what `bundle` made */
  constructor(program: string) {
    this.#child = spawn(process.execPath, ['--enable-source-maps', program], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
      env: { PATH: process.env.PATH, LOG_LEVEL: 'info', NODE_COMPILE_CACHE: `${program}.cache` },
    });
    const { stdout, stderr, stdio } = this.#child;
    if (!stdout || !stderr) throw new Error('The process has no output.');
    for (const output of [stdout, stderr]) createInterface({ input: output }).on('line', (line) => this.#note(line));
    createInterface({ input: stdio[4] as Readable }).on('line', () => this.#trapped.resolve());
    const ready = Promise.withResolvers<void>();
    this.#ready = ready.promise;
    this.#child.on('message', (answer: Answer) => {
      if (answer.id === 0) ready.resolve();
      this.#asked.get(answer.id)?.(answer);
      this.#asked.delete(answer.id);
    });
    this.#child.once('exit', (code, signal) => {
      const error = `The worker has ended (${code ?? signal}).`;
      ready.reject(new Error(`${error} ${this.log}`));
      for (const [id, answer] of this.#asked) answer({ id, error });
      this.#asked.clear();
    });
    this.#ready.catch(() => {});
    this.tell = new Proxy({} as Commands, {
      get: (_, name) => (name === 'then' ? undefined : (...args: unknown[]) => this.#ask(String(name), args)),
    });
  }

  /** What it said, newest last. */
  get log(): string {
    return this.#log.join('\n');
  }

  /** Lines by which the engine says that it has a bug. */
  get complaints(): readonly string[] {
    return this.#log.filter((line) => line.includes('flow engine failed'));
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves at the next trap that shuts. Ask before it is armed. */
  nextTrap(): Promise<void> {
    this.#trapped = Promise.withResolvers();
    return this.#trapped.promise;
  }

  /** Whether it is stopped as by SIGSTOP. */
  get isStopped(): boolean {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    return /^State:\s+T/m.test(status);
  }

  wake(): void {
    this.#child.kill('SIGCONT');
  }

  async end(): Promise<void> {
    if (!this.isAlive) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  forget(): void {
    this.#log.length = 0;
  }

  async #ask(name: string, args: readonly unknown[]): Promise<unknown> {
    await this.#ready;
    const id = this.#next++;
    const answer = Promise.withResolvers<Answer>();
    this.#asked.set(id, answer.resolve);
    const timer = setTimeout(
      () => answer.resolve({ id, error: `No answer to ${name} within ${ANSWER_LIMIT_MS} ms. ${this.log}` }),
      ANSWER_LIMIT_MS,
    );
    this.#child.send({ id, name, args });
    const { result, error } = await answer.promise;
    clearTimeout(timer);
    if (error !== undefined) throw new Error(`${name}: ${error}`);
    return result;
  }

  #note(line: string): void {
    this.#log.push(line);
    if (this.#log.length > MAX_LINES) this.#log.shift();
  }
}
