/** What `backup` and `restore` do: the launcher of the clone does it, which knows the data folder and its database. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cloneFolder } from '../clone.ts';
import { CliError } from '../errors.ts';
import type { Action } from '../grammar.ts';

export const backup: Action<object> = (_session, [file = '']) => launch('backup', file);
export const restore: Action<object> = (_session, [file = '']) => launch('restore', file);

async function launch(command: 'backup' | 'restore', file: string): Promise<void> {
  const clone = cloneFolder();
  const launcher = join(clone, 'tools/launcher/dist/main.js');
  if (!existsSync(launcher)) {
    throw new CliError(`The controller is not built in ${clone}.`, {
      reason: 'NOT_BUILT',
      hint: 'Run npm run build there.',
    });
  }
  // The Node that npm installed: that of the system may be older than the launcher needs.
  const installed = join(clone, 'node_modules/.bin/node');
  const node = existsSync(installed) ? installed : process.execPath;
  const child = spawn(node, [launcher, command, resolve(file)], { stdio: ['ignore', 'inherit', 'pipe'] });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const code = await new Promise<number | null>((done, fail) => child.once('error', fail).once('close', done));
  if (code !== 0)
    throw new CliError(complaint.trim() || `It ended with exit code ${code}.`, { reason: 'LAUNCHER_FAILED' });
}
