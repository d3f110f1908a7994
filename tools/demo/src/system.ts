import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { SystemStatus } from '@octavia/proto';
import { RemoteError } from '@octavia/service';
import { type Api, openApi } from './api.ts';
import { callersEnvironment } from './callers-environment.ts';
import { CLONE } from './home.ts';
import { Problem } from './problem.ts';
import { until } from './wait.ts';

/** How long one look at the system may take. It answers in milliseconds. */
const LOOK_LIMIT_MS = 5_000;
/** A system that serves only in part is starting, or starts a service again. */
const READY_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 100;

const LAUNCHER = join(CLONE, 'tools/launcher/dist/main.js');

/** The API of the system of this data folder when it is up; null when it is not. */
export async function connect(home: string): Promise<Api | null> {
  if (!existsSync(join(home, 'octaviactl.json'))) return null;
  const api = await openApi(home);
  try {
    await api.getSystemStatus({}, { ...api.as, deadlineMs: LOOK_LIMIT_MS });
    return api;
  } catch (error) {
    api.close();
    if (error instanceof RemoteError && error.kind === 'unavailable') return null;
    throw error;
  }
}

/** Does what `npm start -- --detach` does. @throws Problem with the launcher's words */
export async function startSystem(): Promise<void> {
  const { code, text } = await launcher('start', '--detach');
  if (code !== 0) throw new Problem(`The system does not start.\n${text.trim()}`);
}

/** Does what `npm stop` does. */
export async function stopSystem(): Promise<void> {
  const { code, text } = await launcher('stop');
  if (code !== 0) throw new Problem(`The system does not stop.\n${text.trim()}`);
}

/** Waits until all services serve, and a spare is ready where spares are kept. */
export async function readySystem(api: Api, signal: AbortSignal): Promise<SystemStatus> {
  const wait = { limitMs: READY_LIMIT_MS, everyMs: LOOK_EVERY_MS, signal };
  const { found } = await until({ ...wait, what: 'all services serve and a spare amphora is ready' }, async () => {
    const status = await api.getSystemStatus({}, api.as);
    return status.ready && status.sparesReady >= Math.min(1, status.sparesWanted) ? status : undefined;
  });
  return found;
}

/** Not of our process group: Ctrl-C must not reach it half-way. */
function launcher(...args: string[]): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [LAUNCHER, ...args], {
      detached: true,
      env: callersEnvironment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    child.once('error', fail);
    child.once('close', (code) => done({ code, text: stderr === '' ? stdout : stderr }));
  });
}
