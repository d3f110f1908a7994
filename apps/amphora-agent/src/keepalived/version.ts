import { execFile } from 'node:child_process';

/** The version such as `2.2.7`; null when keepalived is not installed. */
export function keepalivedVersion(command: string): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(command, ['--version'], { timeout: 5_000, killSignal: 'SIGKILL', env: {} }, (_error, stdout, stderr) => {
      resolve(/^Keepalived v(\S+)/im.exec(`${stderr}${stdout}`)?.[1] ?? null);
    });
  });
}
