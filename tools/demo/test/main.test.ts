import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const MAIN = join(import.meta.dirname, '../dist/main.js');

function demo(home: string, ...args: string[]) {
  const env = { ...process.env, OCTAVIA_HOME: home, NO_COLOR: '1' };
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', env, timeout: 60_000 });
}

describe('the demo', () => {
  it('ends with 1 and the reason when the system cannot be started, and gives both as figures too', () => {
    const folder = mkdtempSync(join(tmpdir(), 'octavia-demo-'));
    const file = join(folder, 'file');
    writeFileSync(file, 'no folder');
    try {
      const { status, stdout, stderr } = demo(join(file, 'home'), '--json');
      expect(status).toBe(1);
      expect(stderr).toMatch(/NOT AS PROMISED: The system does not start/);
      expect(JSON.parse(stdout)).toMatchObject({ ok: false, problems: [expect.stringMatching(/does not start/)] });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('says what it does', () => {
    const { status, stdout } = demo('/nowhere', '--help');
    expect(status).toBe(0);
    expect(stdout).toMatch(/--json[\s\S]*--record[\s\S]*Exit code/);
  });
});
