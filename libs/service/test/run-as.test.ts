import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { runAs } from '../src/index.ts';

const run = promisify(execFile);

describe('a process that gives root away', () => {
  it('does nothing without a user', async () => {
    const before = process.getuid?.();
    await runAs('').start();
    expect(process.getuid?.()).toBe(before);
  });

  it.runIf(process.getuid?.() === 0)('is the user afterwards, and in none of root’s groups', async () => {
    const script = `
      import { runAs } from '@octavia/service';
      await runAs('nobody').start();
      process.stdout.write(JSON.stringify([process.getuid(), process.getgid(), process.getgroups()]));`;
    const { stdout } = await run(process.execPath, [
      '--conditions=@octavia/source',
      '--input-type=module',
      '-e',
      script,
    ]);
    expect(JSON.parse(stdout)).toEqual([65_534, 65_534, [65_534]]);
  });

  it.runIf(process.getuid?.() === 0)('does not start as root when the user is unknown', async () => {
    await expect(runAs('nobody-at-all').start()).rejects.toThrow(/does not exist on this machine/);
  });
});
