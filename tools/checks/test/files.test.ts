import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { brokenFiles } from '../src/files.ts';

let root: string;
afterEach(() => rmSync(root, { recursive: true, force: true }));

function planted(file: string, content: string): string[] {
  root = mkdtempSync(join(tmpdir(), 'octavia-files-'));
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), content);
  return brokenFiles(root);
}

describe('the limits of source files', () => {
  it('let a file be that keeps them', () => {
    expect(planted('apps/worker/src/main.ts', 'export {};\n')).toEqual([]);
  });

  it('catch SQL in a service, and leave it to the repositories and to tests', () => {
    const sql = `await tx.query('SELECT 1');\n`;
    expect(planted('apps/worker/src/steps/plug.ts', sql)).toEqual([expect.stringMatching(/belongs into a repository/)]);
    rmSync(root, { recursive: true });
    expect(planted('libs/db/src/flow/flows.ts', sql)).toEqual([]);
    rmSync(root, { recursive: true });
    expect(planted('apps/worker/test/flows.test.ts', sql)).toEqual([]);
  });

  it('catch a file that is too long', () => {
    expect(planted('libs/db/src/long.ts', '\n'.repeat(600))).toEqual([expect.stringMatching(/at most 500/)]);
  });

  it('catch a task that nobody owns', () => {
    expect(planted('libs/db/src/task.ts', '// TODO later\n')).toEqual([expect.stringMatching(/without an owner/)]);
  });
});
