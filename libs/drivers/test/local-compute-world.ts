import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loopbackPlan } from '../src/addresses.ts';
import { LocalComputeDriver } from '../src/compute/local/local-compute.ts';
import { type LocalComputeOptions, layoutOf, pathsOf } from '../src/compute/local/options.ts';
import { readProcess } from '../src/compute/local/process-table.ts';
import { prepareNamespaces, removeNamespaces } from '../src/namespaces/prepare.ts';
import { until } from './until.ts';

/** A local compute host in a folder of its own, with the stand-in agent; `stop` leaves nothing behind. */
export async function startLocalCompute(options: Partial<LocalComputeOptions> = {}) {
  const root = await mkdtemp(join(tmpdir(), 'o-'));
  const plan = loopbackPlan(root);
  const all: LocalComputeOptions = {
    ...foldersIn(root),
    managementFirst: plan.managementFirst,
    managementLast: plan.managementLast,
    agentBundlePath: AGENT,
    ...options,
  };
  return worldOf(root, all, async () => {});
}

/** The same in namespaces mode. */
export async function startNamespacesCompute(options: Partial<LocalComputeOptions> = {}) {
  const root = await mkdtemp(join(tmpdir(), 'o-'));
  const folders = foldersIn(root);
  const plan = await prepareNamespaces({ installationId: root, ...folders, endsWithWriter: true });
  const all: LocalComputeOptions = {
    ...folders,
    managementFirst: plan.management.first,
    managementLast: plan.management.last,
    agentBundlePath: AGENT,
    namespaces: plan,
    ...options,
  };
  return { plan, ...worldOf(root, all, () => removeNamespaces(folders)) };
}

const AGENT = fileURLToPath(new URL('./fixtures/stand-in-agent.mjs', import.meta.url));

function foldersIn(root: string) {
  return { dataFolder: join(root, 'data'), runtimeFolder: join(root, 'run') };
}

function worldOf(root: string, all: LocalComputeOptions, cleanUp: () => Promise<void>) {
  const driver = new LocalComputeDriver(all);
  const layout = layoutOf(all);
  const paths = (computeId: string) => pathsOf(layout, computeId.slice(-36));
  const processes = async (computeId: string): Promise<{ name: string; pid: number; startTime: string }[]> =>
    JSON.parse(await readFile(paths(computeId).processes, 'utf8'));
  const agentPid = async (computeId: string) => Number((await readFile(paths(computeId).claim, 'utf8')).split(' ')[0]);
  return {
    root,
    driver,
    layout,
    options: all,
    paths,
    processes,
    agentPid,
    restart: (changed: Partial<LocalComputeOptions> = {}) => new LocalComputeDriver({ ...all, ...changed }),
    /** Until the agent has spawned its children. */
    started: async (computeId: string) => {
      await until('the agent has its children', () => processes(computeId).catch(() => null));
    },
    /** Pids of agent and children that still run. */
    alive: async (computeId: string) => {
      const pids = [await agentPid(computeId), ...(await processes(computeId)).map(({ pid }) => pid)];
      return pids.filter((pid) => readProcess(pid) !== null);
    },
    stop: async () => {
      for (const { computeId } of await driver.list()) await driver.delete(computeId);
      await cleanUp();
      await rm(root, { recursive: true, force: true });
    },
  };
}
