import { afterEach, describe, expect, it } from 'vitest';
import { type Child, fixture, spawnFixture } from './child.ts';
import { until } from './world.ts';

const children: Child[] = [];
/** Processes that a killed launcher leaves to themselves. */
const orphans: number[] = [];
afterEach(async () => {
  for (const pid of orphans.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  for (const child of children.splice(0)) {
    child.process.kill('SIGKILL');
    await child.ended;
  }
});

function run(mode: string, env = {}): Child {
  const child = spawnFixture('process.ts', [mode], { env });
  children.push(child);
  return child;
}

function stepsOf({ lines }: Child): string[] {
  return lines.filter((line) => 'part' in line && line.level === 'info').map(({ msg, part }) => `${msg} ${part}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('a process', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`starts its parts in order, and stops them in reverse on ${signal}`, async () => {
      const child = run('plain');
      await child.says('started');
      child.process.kill(signal);
      expect(await child.ended).toEqual({ code: 0, signal: null });
      expect(stepsOf(child)).toEqual(['start a', 'start b', 'stop b', 'stop a']);
    });
  }

  it('stops what has started and ends with 1 when a part cannot start', async () => {
    const child = run('start fails');
    expect(await child.ended).toEqual({ code: 1, signal: null });
    expect(stepsOf(child)).toEqual(['start a', 'stop a']);
    expect(await child.says('part failed to start')).toMatchObject({ part: 'b', err: { message: 'no database' } });
  });

  it('does not wait for a part that hangs in its start when it is asked to end', async () => {
    const child = run('start hangs');
    await child.says('start');
    child.process.kill('SIGTERM');
    expect(await child.ended).toMatchObject({ code: 1 });
    expect(stepsOf(child)).toEqual(['start a', 'stop a']);
  });

  for (const mode of ['stop hangs', 'stop fails']) {
    it(`stops the other parts though one ${mode.replace('stop ', '')} in its stop`, async () => {
      const child = run(mode);
      await child.says('started');
      child.process.kill('SIGTERM');
      await child.ended;
      expect(stepsOf(child)).toContain('stop a');
      expect(await child.says('part failed to stop')).toMatchObject({ part: 'b' });
    });
  }

  it('ends at once at the second signal', async () => {
    const child = run('stop hangs');
    await child.says('started');
    child.process.kill('SIGTERM');
    await child.says('stopping');
    child.process.kill('SIGINT');
    expect(await child.ended).toMatchObject({ code: 130 });
    expect(stepsOf(child)).not.toContain('stop a');
  });

  for (const mode of ['rejection', 'throw']) {
    it(`drains and ends with 1 after a ${mode} that nobody caught, with its stack in the log`, async () => {
      const child = run(mode);
      expect(await child.ended).toEqual({ code: 1, signal: null });
      const fatal = await child.says('a fault that nobody caught ends this process');
      expect(fatal).toMatchObject({ level: 'fatal', err: { stack: expect.stringContaining('fixtures/process.ts') } });
      expect(stepsOf(child)).toContain('stop a');
    });
  }

  it('ends though something was forgotten open, and says what', async () => {
    const child = run('forgets a handle');
    await child.says('started');
    child.process.kill('SIGTERM');
    expect(await child.ended).toMatchObject({ code: 0 });
    expect(await child.says('something still holds the process open, leaving')).toMatchObject({ level: 'warn' });
  });

  it('ends with 78 when its settings are wrong, and names all of them', async () => {
    const child = run('settings');
    expect(await child.ended).toMatchObject({ code: 78 });
    const faults = child.lines.at(-1)?.faults as { name: string }[];
    expect(faults.map(({ name }) => name)).toEqual(['A', 'B']);
  });

  it('refuses a pipe that is not open', async () => {
    const child = run('plain', { OCTAVIA_PARENT_FD: '77' });
    expect(await child.ended).toMatchObject({ code: 1 });
  });

  it('ends in order when its launcher is killed by kill -9', async () => {
    const launcher = spawnFixture('launcher.ts', [fixture('process.ts')]);
    children.push(launcher);
    const { child } = await launcher.says('spawned');
    orphans.push(Number(child));
    await launcher.says('started');
    launcher.process.kill('SIGKILL');
    await until(() => !isAlive(Number(child)));
    expect(stepsOf(launcher)).toEqual(['start a', 'start b', 'stop b', 'stop a']);
    expect(await launcher.says('stopping')).toMatchObject({ why: 'the launcher has ended' });
  });

  it('ends with its launcher though nobody reads its log any more', async () => {
    const launcher = spawnFixture('launcher.ts', [fixture('process.ts'), 'pipe']);
    children.push(launcher);
    const { child } = await launcher.says('spawned');
    orphans.push(Number(child));
    await launcher.says('started');
    launcher.process.kill('SIGKILL');
    await until(() => !isAlive(Number(child)));
  });
});
