import { execFileSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './root.ts';

/** Debian's Prometheus, as installed, or as we fetched it: unpacked only, so that no service of it ever starts. */
const FOLDERS = ['/usr/bin', join(ROOT, 'node_modules/.cache/octavia-prometheus/usr/bin')] as const;

export interface PrometheusPrograms {
  readonly prometheus: string;
  readonly promtool: string;
}

/** The programs, if they are on this machine. */
export function findPrometheus(): PrometheusPrograms | null {
  for (const folder of FOLDERS) {
    const found = { prometheus: join(folder, 'prometheus'), promtool: join(folder, 'promtool') };
    if (isProgram(found.prometheus) && isProgram(found.promtool)) return found;
  }
  return null;
}

/** Downloads Debian's package (19 MB) and unpacks it below node_modules. @throws Error when apt-get cannot */
export function fetchPrometheus(): void {
  const cache = join(ROOT, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'fetching-'));
  const run = (program: string, ...args: string[]): void => {
    execFileSync(program, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  };
  try {
    try {
      run('apt-get', 'download', '-qq', 'prometheus');
    } catch (error) {
      // Without lists apt-get knows no package; only root may fetch them.
      if (process.getuid?.() !== 0) throw error;
      run('apt-get', 'update', '-qq');
      run('apt-get', 'download', '-qq', 'prometheus');
    }
    const file = readdirSync(folder).find((name) => name.endsWith('.deb'));
    if (!file) throw new Error('apt-get download left no package.');
    run('dpkg-deb', '--extract', file, 'unpacked');
    const target = join(cache, 'octavia-prometheus');
    rmSync(target, { recursive: true, force: true });
    renameSync(join(folder, 'unpacked'), target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
