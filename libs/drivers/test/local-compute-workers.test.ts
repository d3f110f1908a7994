import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { eachProcess, hasEnvironment, readProcess } from '../src/compute/local/process-table.ts';
import { AMPHORA_VARIABLE } from '../src/compute/local/spawn-agent.ts';
import { kernelHoldings } from '../src/namespaces/holdings.ts';
import { mayMakeNamespaces } from '../src/testing/guest.ts';
import { startLocalCompute, startNamespacesCompute } from './local-compute-world.ts';
import { until } from './until.ts';

const WORKER = fileURLToPath(new URL('./fixtures/build-in-another-process.mjs', import.meta.url));

async function open(start: () => ReturnType<typeof startLocalCompute> = startLocalCompute) {
  const world = await start();
  onTestFinished(world.stop);
  await world.driver.hostId();
  const worker = (amphoraId: string, epoch: number) => {
    const args = [world.options, { amphoraId }, { fence: { flowId: amphoraId, epoch } }].map((value) =>
      JSON.stringify(value),
    );
    const child = spawn(process.execPath, ['--conditions=@octavia/source', WORKER, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    return child;
  };
  /** Agents of the amphora that run: processes of its own whose parent is none of its own. */
  const agents = async (computeId: string) => {
    const { folder } = world.paths(computeId);
    const own = new Map<number, number>();
    await eachProcess(({ pid, session }) => {
      if (hasEnvironment(pid, AMPHORA_VARIABLE, folder)) own.set(pid, session);
    });
    return [...own].filter(([pid, session]) => pid === session && commandOf(pid).includes('stand-in-agent')).length;
  };
  return { ...world, worker, agents };
}

function commandOf(pid: number): string {
  return process.getBuiltinModule('node:fs').readFileSync(`/proc/${pid}/cmdline`, 'utf8');
}

describe('workers of one compute host', () => {
  it('leave their agents running when they are killed, and the next one finds them', async () => {
    const { worker, driver, alive } = await open();
    const amphoraId = randomUUID();
    const child = worker(amphoraId, 1);
    await once(child, 'exit');
    const { computeId, status } = await driver.get({ amphoraId });
    expect(status).not.toBe('STOPPED');
    await until('the agent has its children', () =>
      alive(computeId).then(
        (pids) => pids.length === 3,
        () => null,
      ),
    );
    expect(await driver.status(computeId)).toBe('UP');
  });

  it('build one agent however often they are killed in the middle of it', async () => {
    const { worker, driver, started, agents } = await open();
    const amphoraId = randomUUID();
    for (let afterMs = 0; afterMs < 12; afterMs += 2) {
      const child = worker(amphoraId, 1);
      await once(child.stdout, 'data');
      const end = performance.now() + afterMs;
      while (performance.now() < end); // A timer is too coarse to hit the middle of a build.
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const computeId = await driver.build({ amphoraId });
    await started(computeId);
    expect(await agents(computeId)).toBe(1);
    expect((await driver.get({ computeId })).status).toBe('ACTIVE');
  });

  it('build one agent when they do it at the same time', async () => {
    const { worker, driver, started, agents } = await open();
    const amphoraId = randomUUID();
    const children = Array.from({ length: 3 }, () => worker(amphoraId, 1));
    await Promise.all(children.map((child) => once(child, 'exit')));
    const { computeId } = await driver.get({ amphoraId });
    await started(computeId);
    expect(await agents(computeId)).toBe(1);
  });

  it('that were stopped and wake up after another took over and fenced leave nothing running', async () => {
    await stopTakeOverAndWake(await open(), [0, 1, 2, 4, 6, 8, 10, 12]);
  });
});

describe.runIf(mayMakeNamespaces())('workers of one compute host in namespaces mode, which needs root,', () => {
  it('that were stopped and wake up after another took over and fenced leave no network either', async () => {
    let prefix = '';
    const world = await open(async () => {
      const { plan, ...made } = await startNamespacesCompute();
      ({ prefix } = plan);
      return made;
    });
    await stopTakeOverAndWake(world, [0, 4, 8, 14, 20, 30, 45, 60]);
    const { namespaces, links } = await kernelHoldings(prefix, await world.driver.hostId());
    expect(namespaces).toEqual([]);
    expect(links.map(({ amphoraId }) => amphoraId)).toEqual([null, null]);
  });
});

/** Suspends a worker in the middle of a build, lets another one delete the amphora, and wakes the first. */
async function stopTakeOverAndWake(world: Awaited<ReturnType<typeof open>>, moments: readonly number[]) {
  const { worker, driver, agents, paths } = world;
  const hostId = await driver.hostId();
  for (const afterMs of moments) {
    const amphoraId = randomUUID();
    const computeId = `${hostId}:${amphoraId}`;
    const child = worker(amphoraId, 1);
    await once(child.stdout, 'data');
    const end = performance.now() + afterMs;
    while (performance.now() < end); // As above.
    child.kill('SIGSTOP');
    await until('it is stopped', () => readProcess(child.pid ?? 0)?.state === 'T' || child.exitCode !== null);
    await driver.delete(computeId, { fence: { flowId: amphoraId, epoch: 2 } });
    child.kill('SIGCONT');
    if (child.exitCode === null) await once(child, 'exit');
    await until('no agent of it runs', async () => (await agents(computeId)) === 0);
    expect(paths(computeId).mark).toContain(amphoraId);
  }
}
