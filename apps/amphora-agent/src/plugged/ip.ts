import { spawn } from 'node:child_process';

/** The kernel answers in milliseconds. */
const TIMEOUT_MS = 10_000;

/** An interface as ip(8) shows it. */
export interface Link {
  readonly name: string;
  /** Lower case. */
  readonly mac: string;
  readonly addresses: readonly { readonly address: string; readonly prefixLength: number }[];
}

interface ShownLink {
  readonly ifname: string;
  readonly address?: string;
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number; readonly scope?: string }[];
}

/** Interfaces of this network namespace with their addresses; those of links alone (fe80::) are left out. @throws Error with ip's words */
export async function showLinks(): Promise<readonly Link[]> {
  const found: readonly ShownLink[] = JSON.parse(await ip(['-json', 'address', 'show'], ''));
  return found.map(({ ifname, address = '', addr_info = [] }) => ({
    name: ifname,
    mac: address.toLowerCase(),
    addresses: addr_info.flatMap(({ local, prefixlen = 0, scope }) =>
      local === undefined || scope === 'link' ? [] : [{ address: local, prefixLength: prefixlen }],
    ),
  }));
}

/** Carries out commands of ip(8) one after the other, and stops at the first that fails. @throws Error with ip's words */
export async function changeNetwork(commands: readonly (readonly string[])[]): Promise<void> {
  await ip(['-batch', '-'], commands.map((words) => `${words.join(' ')}\n`).join(''));
}

function ip(args: readonly string[], input: string): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn('ip', args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: TIMEOUT_MS, killSignal: 'SIGKILL' });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    child.once('error', (error) => fail(new Error(`ip cannot be run: ${error.message}`)));
    child.once('close', (code) => {
      if (code === 0) done(stdout);
      else fail(new Error(stderr.replace(/\s+/g, ' ').trim() || `ip ended with exit code ${code}`));
    });
    child.stdin.on('error', () => {}); // It ended before it read all: its exit code tells.
    child.stdin.end(input);
  });
}
