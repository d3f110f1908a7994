import { spawn } from 'node:child_process';

/** What ip(8) and the kernel said no to. */
export class IpError extends Error {
  override readonly name = 'IpError';
}

/** A call of ip takes milliseconds; the kernel makes callers wait while it takes large networks down. */
const TIMEOUT_MS = 20_000;

interface IpOptions {
  /** Name of the namespace in which it works; absent: our own. */
  readonly namespace?: string;
  /** Whether it goes on after a command that failed, and does not tell. */
  readonly isForced?: boolean;
}

/**
 * Carries out commands such as `['link', 'add', …]` in one process of ip(8), which stops at the first that fails.
 * @throws IpError with its words
 */
export async function ipBatch(commands: readonly (readonly string[])[], options: IpOptions = {}): Promise<void> {
  if (commands.length === 0) return;
  const lines = commands.map((words) => `${words.map(quote).join(' ')}\n`).join('');
  const { code, stderr } = await run([...commonArguments(options), '-batch', '-'], lines);
  if (code === 0 || options.isForced) return;
  const failed = Number(/Command failed -:(\d+)/.exec(stderr)?.[1] ?? 1);
  const words = stderr.replace(/Command failed -:\d+/g, '').trim();
  throw new IpError(`ip ${(commands[failed - 1] ?? []).join(' ')}: ${words || `exit code ${code}`}`);
}

/** What ip(8) shows as JSON; null where it says that there is no such thing. @throws IpError */
export async function ipShow(words: readonly string[], options: IpOptions = {}): Promise<readonly unknown[] | null> {
  const { code, stdout, stderr } = await run([...commonArguments(options), '-json', ...words], '');
  if (code === 0) return stdout.trim() === '' ? [] : JSON.parse(stdout);
  if (/does not exist|Cannot find device|No such file or directory/.test(stderr)) return null;
  throw new IpError(`ip ${words.join(' ')}: ${stderr.trim() || `exit code ${code}`}`);
}

/** Runs `ip netns …`. @throws IpError */
export async function ipNetns(...words: readonly string[]): Promise<void> {
  const { code, stderr } = await run(['netns', ...words], '');
  if (code !== 0) throw new IpError(`ip netns ${words.join(' ')}: ${stderr.trim() || `exit code ${code}`}`);
}

function commonArguments({ namespace, isForced }: IpOptions): string[] {
  return [...(namespace ? ['-netns', namespace] : []), ...(isForced ? ['-force'] : [])];
}

/** Words of a batch may be in quotes; there is no way to write a quote itself, and none of ours has one. */
function quote(word: string): string {
  if (/["\n\\]/.test(word)) throw new TypeError(`ip cannot be told ${JSON.stringify(word)}`);
  return /^[\w.:/-]+$/.test(word) ? word : `"${word}"`;
}

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], input: string): Promise<Outcome> {
  return new Promise((done, fail) => {
    const child = spawn('ip', args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: TIMEOUT_MS, killSignal: 'SIGKILL' });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    child.once('error', (error) => fail(new IpError(`ip cannot be run: ${error.message}. Install iproute2.`)));
    child.once('close', (code, signal) =>
      done({ code: code ?? -1, stdout, stderr: signal ? `${stderr} ended by ${signal}` : stderr }),
    );
    child.stdin.on('error', () => {}); // It ended before it read all: its exit code tells.
    child.stdin.end(input);
  });
}
