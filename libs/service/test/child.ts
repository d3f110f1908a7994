import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { until } from './world.ts';

/** A process under test. */
export interface Child {
  readonly process: ChildProcess;
  /** Lines of its log, parsed. */
  readonly lines: Record<string, unknown>[];
  /** What it wrote that is no line of a log. */
  readonly noise: string[];
  /** Waits until it has logged that message. */
  says(message: string): Promise<Record<string, unknown>>;
  /** Waits for its end. */
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
}

export const fixture = (name: string): string => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

/** Runs a fixture from source, as the services run in development. */
export function spawnFixture(
  name: string,
  args: readonly string[],
  options: { env?: object; nodeArgs?: string[] } = {},
): Child {
  const child = spawn(
    process.execPath,
    ['--conditions=@octavia/source', ...(options.nodeArgs ?? []), fixture(name), ...args],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LOG_LEVEL: 'debug', ...options.env } },
  );
  const lines: Record<string, unknown>[] = [];
  const noise: string[] = [];
  let rest = '';
  const take = (chunk: Buffer): void => {
    const parts = (rest + chunk.toString()).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      try {
        lines.push(JSON.parse(part));
      } catch {
        noise.push(part);
      }
    }
  };
  child.stdout.on('data', take);
  child.stderr.on('data', (chunk: Buffer) => noise.push(chunk.toString()));
  return {
    process: child,
    lines,
    noise,
    ended: new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal }))),
    async says(message) {
      const find = () => lines.find((line) => line.msg === message);
      await until(() => find() !== undefined).catch(() => {
        throw new Error(`it never said "${message}" but ${JSON.stringify(lines)} ${noise.join('')}`);
      });
      return find() ?? {};
    },
  };
}
