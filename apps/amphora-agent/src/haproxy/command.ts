import { execFile } from 'node:child_process';
import { messageOf, RequestError } from '../errors.ts';

/** A check of 100 backends with 10 servers takes 60 to 180 ms; on a machine under load much longer. */
const CHECK_TIMEOUT_MS = 30_000;
const MAX_OUTPUT_BYTES = 64 * 1024;

interface Outcome {
  readonly isOk: boolean;
  /** True: it was stopped, because of the time limit or because there is no such program. */
  readonly isBroken: boolean;
  readonly output: string;
}

function run(command: string, args: readonly string[], timeoutMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL' as const, maxBuffer: MAX_OUTPUT_BYTES * 16, env: {} };
    execFile(command, [...args], options, (error, stdout, stderr) => {
      const output = `${stderr}${stdout}`.slice(0, MAX_OUTPUT_BYTES);
      const isBroken = error !== null && typeof error.code !== 'number';
      const reason = error?.killed ? `it did not end within ${timeoutMs} ms` : messageOf(error);
      resolve({ isOk: error === null, isBroken, output: isBroken ? `${command}: ${reason}\n${output}` : output });
    });
  });
}

/**
 * Lets HAProxy read a configuration without serving it.
 * @param files configurations in the order of their `-f`
 * @throws RequestError 400 with HAProxy's output when it refuses, 500 when the check itself fails
 */
export async function checkConfiguration(command: string, peer: string, files: readonly string[]): Promise<void> {
  const args = ['-c', '-L', peer, ...files.flatMap((file) => ['-f', file])];
  const { isOk, isBroken, output } = await run(command, args, CHECK_TIMEOUT_MS);
  if (isBroken) throw new RequestError(500, 'Error checking haproxy', output);
  if (!isOk) throw new RequestError(400, 'Invalid request', output);
}

/** The version as the distribution writes it, such as `2.6.12-1+deb12u4`. @throws RequestError 500 */
export async function haproxyVersion(command: string): Promise<string> {
  const { output } = await run(command, ['-v'], 5_000);
  const version = /version (\S+)/i.exec(output)?.[1];
  if (!version) throw new RequestError(500, 'Error reading the version of haproxy', output);
  return version;
}

/** Whether the program file itself may bind ports below 1024, as Linux's file capabilities allow. */
export async function mayBindLowPorts(command: string): Promise<boolean> {
  const { output } = await run('/usr/sbin/getcap', [command], 5_000);
  return output.includes('cap_net_bind_service');
}
