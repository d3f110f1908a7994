import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { eachProcess } from '../src/compute/local/process-table.ts';
import { kernelHoldings } from '../src/namespaces/holdings.ts';
import { ipBatch, ipShow } from '../src/namespaces/ip.ts';
import { BLOCKS, namespacePlan } from '../src/namespaces/plan.ts';
import { overlap, preparedPlan, prepareNamespaces, removeNamespaces } from '../src/namespaces/prepare.ts';
import { registered } from '../src/namespaces/registry.ts';
import { planFile, sweepDeadInstallations } from '../src/namespaces/sweep.ts';
import { mayMakeNamespaces } from '../src/testing/guest.ts';
import { startNamespacesCompute } from './local-compute-world.ts';

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

/** A data folder of nobody yet. */
async function folders() {
  const root = await mkdtemp(join(tmpdir(), 'o-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  return { installationId: randomUUID(), dataFolder: join(root, 'data'), runtimeFolder: join(root, 'run') };
}

/** An installation of another process, with one amphora; killed when `end` is called. */
async function otherProcess(request: Awaited<ReturnType<typeof folders>> & { endsWithWriter?: boolean }) {
  const { dataFolder, runtimeFolder } = request;
  const options = { dataFolder, runtimeFolder, agentBundlePath: fixture('stand-in-agent.mjs') };
  const args = [request, options, randomUUID()].map((value) => JSON.stringify(value));
  const script = fixture('prepare-in-another-process.mjs');
  const child = spawn(process.execPath, ['--conditions=@octavia/source', script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const plan = await preparedPlan(dataFolder);
  if (!plan) throw new Error('no plan');
  onTestFinished(() => removeNamespaces(request));
  return {
    plan,
    end: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

const links = async (prefix: string) => (await kernelHoldings(prefix, 'none')).links.map(({ name }) => name);

async function processesNaming(text: string): Promise<number> {
  const { readFileSync } = process.getBuiltinModule('node:fs');
  let count = 0;
  await eachProcess(({ pid }) => {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text)) count++;
    } catch {
      // It ended.
    }
  });
  return count;
}

describe.runIf(mayMakeNamespaces())('installations in namespaces mode, which needs root,', () => {
  it('share the machine: the end of one leaves the other as it is', async () => {
    const [one, other] = [await startNamespacesCompute(), await startNamespacesCompute()];
    onTestFinished(other.stop);
    const ids = [randomUUID(), randomUUID()];
    const computeIds = await Promise.all(
      [one, other].map(({ driver }, i) => driver.build({ amphoraId: ids[i] ?? '' })),
    );
    await Promise.all([one.started(computeIds[0] ?? ''), other.started(computeIds[1] ?? '')]);
    expect(overlap(one.plan.vip.cidr, other.plan.vip.cidr)).toBe(false);
    expect(await one.driver.list()).toHaveLength(1);
    await one.stop();
    expect(await links(one.plan.prefix)).toEqual([]);
    expect(await links(other.plan.prefix)).toHaveLength(3);
    expect(await other.driver.status(computeIds[1] ?? '')).toBe('UP');
  });

  it('of a test that was killed are swept by the next: interfaces, namespaces, processes and sockets', async () => {
    const request = { ...(await folders()), endsWithWriter: true };
    const { plan, end } = await otherProcess(request);
    await sweepDeadInstallations();
    expect(await links(plan.prefix)).toHaveLength(3); // It lives.
    await end();
    expect(await processesNaming(request.dataFolder)).toBeGreaterThan(0);
    const world = await startNamespacesCompute();
    onTestFinished(world.stop);
    expect(await links(plan.prefix)).toEqual([]);
    expect((await kernelHoldings(plan.prefix, 'none')).namespaces).toEqual([]);
    expect(await processesNaming(request.dataFolder)).toBe(0);
    expect(existsSync(request.runtimeFolder)).toBe(false);
    expect((await registered()).some(({ prefix }) => prefix === plan.prefix)).toBe(false);
  });

  it('are kept while they are only stopped, and swept when their data folder is gone or is of another', async () => {
    const request = await folders();
    const { plan, end } = await otherProcess(request);
    await end();
    await sweepDeadInstallations();
    expect(await links(plan.prefix)).toHaveLength(3);
    await writeFile(planFile(request.dataFolder), JSON.stringify({ version: 1, installationId: 'other', probe: 0 }));
    await sweepDeadInstallations();
    expect(await links(plan.prefix)).toEqual([]);
  });

  it('go on to the next block of addresses where somebody has a route, and keep the one that they chose', async () => {
    const request = await folders();
    const taken = namespacePlan(request.installationId).management.cidr;
    await ipBatch([['route', 'add', 'blackhole', taken]]);
    onTestFinished(() => ipBatch([['route', 'delete', 'blackhole', taken]], { isForced: true }));
    const plan = await prepareNamespaces({ ...request, endsWithWriter: true });
    onTestFinished(() => removeNamespaces(request));
    expect(overlap(plan.management.cidr, taken)).toBe(false);
    await ipBatch([['route', 'delete', 'blackhole', taken]]);
    expect(await prepareNamespaces({ ...request, endsWithWriter: true })).toEqual(plan);

    await removeNamespaces(request);
    await ipBatch([['route', 'add', 'blackhole', plan.vip.cidr]]);
    onTestFinished(() => ipBatch([['route', 'delete', 'blackhole', plan.vip.cidr]], { isForced: true }));
    await expect(prepareNamespaces(request)).rejects.toThrow(
      `are used by the route of interface none (${plan.vip.cidr})`,
    );
  });

  it('are made again after a reboot took everything but the data folder', async () => {
    const request = await folders();
    const plan = await prepareNamespaces({ ...request, endsWithWriter: true });
    onTestFinished(() => removeNamespaces(request));
    await removeNamespaces(request);
    expect(await ipShow(['link', 'show', 'dev', plan.vip.bridge])).toBeNull();
    await prepareNamespaces({ ...request, endsWithWriter: true });
    const [bridge] = (await ipShow(['address', 'show', 'dev', plan.vip.bridge])) ?? [];
    expect(bridge).toMatchObject({ addr_info: [{ local: plan.vip.hostAddress, prefixlen: 23 }, ...[]] });
  });

  it('refuse a data folder of another installation', async () => {
    const request = await folders();
    await prepareNamespaces({ ...request, endsWithWriter: true });
    onTestFinished(() => removeNamespaces(request));
    await expect(prepareNamespaces({ ...request, installationId: randomUUID() })).rejects.toThrow(
      'Name the right folder',
    );
  });
});

describe('namespaces mode', () => {
  it('tells a plain user that it needs root', async () => {
    const request = await folders();
    vi.spyOn(process, 'geteuid').mockReturnValue(1000);
    onTestFinished(() => void vi.restoreAllMocks());
    await expect(prepareNamespaces(request)).rejects.toThrow('needs root');
  });

  it('knows which networks share an address', () => {
    expect(overlap('198.18.0.0/15', '198.19.252.0/23')).toBe(true);
    expect(overlap('198.18.2.0/23', '198.18.4.0/23')).toBe(false);
    expect(overlap('198.18.3.255', '198.18.2.0/23')).toBe(true);
    expect(overlap('fd00::/8', '198.18.2.0/23')).toBe(false);
    expect(BLOCKS).toBe(128);
  });
});
