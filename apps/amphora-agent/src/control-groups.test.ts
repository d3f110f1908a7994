import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ControlGroups } from './control-groups.ts';

const AMPHORA = 'a0000000-0000-4000-8000-000000000001';
const PATH = `/octavia/host/${AMPHORA}`;

/** Folders that look as a kernel's hierarchies do; `files` are those of the groups of two load balancers. */
function hierarchies(...mounts: readonly string[]) {
  const root = mkdtempSync(join(tmpdir(), 'groups-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const mount of mounts) mkdirSync(join(root, mount, PATH, 'agent'), { recursive: true });
  return { root, folder: (mount = '') => join(root, mount, PATH) };
}

describe('control groups of an amphora', () => {
  it('are beside that of the agent, one for each load balancer, in version 2', async () => {
    const { root, folder } = hierarchies('');
    const groups = new ControlGroups(AMPHORA, root, `0::${PATH}/agent\n`);
    expect(groups.make('one')).toEqual([join(folder(), 'one', 'cgroup.procs')]);
    expect(groups.make('one')).toHaveLength(1);
    await groups.remove('one');
    await groups.remove('one');
    expect(existsSync(join(folder(), 'one'))).toBe(false);
    expect(existsSync(join(folder(), 'agent'))).toBe(true);
  });

  it('are in every hierarchy of version 1 in which the agent has one', () => {
    const { root, folder } = hierarchies('unified', 'cpu', 'memory');
    const membership = `9:name=systemd:/\n4:memory:${PATH}/agent\n1:cpu,cpuacct:${PATH}/agent\n2:pids:/\n0::${PATH}/agent\n`;
    const found = new ControlGroups(AMPHORA, root, membership).make('one');
    expect(found).toEqual(['memory', 'cpu', 'unified'].map((mount) => join(folder(mount), 'one', 'cgroup.procs')));
  });

  it('have equal weights, and equal shares of the memory that the amphora may use', async () => {
    const { root, folder } = hierarchies('');
    writeFileSync(join(folder(), 'memory.max'), '3000\n');
    for (const name of ['agent', 'one', 'two']) {
      mkdirSync(join(folder(), name), { recursive: true });
      for (const file of ['cpu.weight', 'memory.low']) writeFileSync(join(folder(), name, file), '');
    }
    const groups = new ControlGroups(AMPHORA, root, `0::${PATH}/agent\n`);
    for (const name of ['one', 'two']) groups.make(name);
    for (const name of ['one', 'two']) {
      expect(readFileSync(join(folder(), name, 'cpu.weight'), 'utf8')).toBe('100');
      expect(readFileSync(join(folder(), name, 'memory.low'), 'utf8')).toBe('1000');
    }
  });

  it('are none where the agent is in no group of its amphora', () => {
    const { root } = hierarchies('');
    const none = ['0::/user.slice/session.scope\n', `0::${PATH}\n`, '0::/octavia/host/other/agent\n', ''];
    for (const membership of none) expect(new ControlGroups(AMPHORA, root, membership).make('one')).toEqual([]);
  });

  it('are none where the agent may not make them', () => {
    const { root, folder } = hierarchies('');
    writeFileSync(join(folder(), 'one'), 'in the way');
    expect(new ControlGroups(AMPHORA, root, `0::${PATH}/agent\n`).make('one')).toEqual([]);
  });
});
