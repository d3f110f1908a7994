import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { z } from 'zod';
import { parseIpv4 } from '../addresses.ts';
import { openHostId } from '../compute/local/host-id.ts';
import { ComputeUnavailable } from '../errors.ts';
import { readIfThere, writeOnce } from '../files.ts';
import { makeBridges } from './bridges.ts';
import { IpError, ipShow } from './ip.ts';
import { BLOCKS, type NamespacePlan, namespacePlan, POOL } from './plan.ts';
import { type RegistryEntry, register, registered } from './registry.ts';
import { planFile, removeInstallation, sweepDeadInstallations } from './sweep.ts';

export interface PrepareRequest {
  readonly installationId: string;
  /** Absolute; that of the local drivers. The plan is kept in it. */
  readonly dataFolder: string;
  readonly runtimeFolder: string;
  /** True in tests: whatever is made is swept when this process has ended. */
  readonly endsWithWriter?: boolean;
}

const keptSchema = z.object({ version: z.literal(1), installationId: z.string(), probe: z.int() });

/**
 * Makes this machine ready for namespaces mode: chooses the installation's block of addresses at its first start, takes away what dead
 * installations left, and makes the bridges. Every start calls it, and it changes only what is missing.
 * @throws ComputeUnavailable that says what to do: no root, no iproute2, addresses in use
 */
export async function prepareNamespaces(request: PrepareRequest): Promise<NamespacePlan> {
  await checkMachine();
  try {
    await sweepDeadInstallations();
    const plan = await openPlan(request);
    await register(entryOf(plan, await openHostId(request), request));
    await makeBridges(plan);
    return plan;
  } catch (error) {
    if (!(error instanceof IpError)) throw error;
    throw new ComputeUnavailable(`The networks of namespaces mode cannot be made: ${error.message}.`);
  }
}

/** The plan of an installation that was prepared; null: it never was. */
export async function preparedPlan(dataFolder: string): Promise<NamespacePlan | null> {
  const text = await readIfThere(planFile(dataFolder));
  if (text === null) return null;
  const { installationId, probe } = keptSchema.parse(JSON.parse(text));
  return namespacePlan(installationId, probe);
}

/** Takes everything of the installation from the kernel, amphorae too. Its data folder stays. @throws IpError */
export async function removeNamespaces(request: Pick<PrepareRequest, 'dataFolder' | 'runtimeFolder'>): Promise<void> {
  const plan = await preparedPlan(request.dataFolder);
  if (plan) await removeInstallation({ prefix: plan.prefix, hostId: await openHostId(request), ...request });
}

async function checkMachine(): Promise<void> {
  if (process.geteuid?.() !== 0) {
    throw new ComputeUnavailable(
      'Namespaces mode needs root: start as root, or choose loopback mode, which needs no rights.',
    );
  }
  for (const [program, packageName] of [
    ['ip', 'iproute2'],
    ['nsenter', 'util-linux'],
  ] as const) {
    const folders = (process.env.PATH ?? '').split(delimiter);
    const found = await Promise.any(folders.map((folder) => access(join(folder, program), constants.X_OK))).then(
      () => true,
      () => false,
    );
    if (!found) {
      throw new ComputeUnavailable(
        `Namespaces mode needs ${program}: install the package ${packageName}, then start again.`,
      );
    }
  }
}

/** The kept plan, or a new one with a block that nobody on this machine uses. */
async function openPlan({ installationId, dataFolder }: PrepareRequest): Promise<NamespacePlan> {
  const kept = await preparedPlan(dataFolder);
  if (kept && kept.installationId !== installationId) {
    throw new ComputeUnavailable(
      `The networks of ${dataFolder} are of installation ${kept.installationId}, not of ${installationId}. Name the right folder.`,
    );
  }
  const others = await usedByOthers(installationId, kept);
  if (kept) {
    const other = others.find(({ cidr }) => networksOf(kept).some((own) => overlap(own, cidr)));
    if (!other) return kept;
    throw new ComputeUnavailable(
      `Addresses of this installation (${networksOf(kept).join(', ')}) are used by ${other.whose} (${other.cidr}). Free them, then start again.`,
    );
  }
  for (let probe = 0; probe < BLOCKS; probe++) {
    const plan = namespacePlan(installationId, probe);
    if (others.some(({ cidr }) => networksOf(plan).some((own) => overlap(own, cidr)))) continue;
    await writeOnce(planFile(dataFolder), `${JSON.stringify({ version: 1, installationId, probe })}\n`);
    return (await preparedPlan(dataFolder)) ?? plan; // Another worker may have been first.
  }
  throw new ComputeUnavailable(
    `All blocks of ${POOL.cidr} are used on this machine, such as ${others[0]?.cidr} by ${others[0]?.whose}. Free one, then start again.`,
  );
}

interface Use {
  readonly cidr: string;
  /** Who, as a person knows it. */
  readonly whose: string;
}

interface IpRoute {
  readonly dst?: string;
  readonly dev?: string;
  readonly type?: string;
}

/** Routes of this machine that are not of our own bridges, and blocks of other installations, also where they have no bridge now. */
async function usedByOthers(installationId: string, kept: NamespacePlan | null): Promise<readonly Use[]> {
  const { management, vip } = kept ?? namespacePlan(installationId);
  const own = [management.bridge, vip.bridge];
  const routes = ((await ipShow(['-4', 'route', 'show', 'table', 'all'])) ?? []) as readonly IpRoute[];
  const entries = (await registered()).filter((entry) => entry.installationId !== installationId);
  return [
    ...routes.flatMap(({ dst = 'default', dev = '' }) =>
      dst === 'default' || own.includes(dev) ? [] : [{ cidr: dst, whose: `the route of interface ${dev || 'none'}` }],
    ),
    ...entries.flatMap(({ cidrs, dataFolder }) =>
      cidrs.map((cidr) => ({ cidr, whose: `the installation ${dataFolder}` })),
    ),
  ];
}

function networksOf({ management, vip }: NamespacePlan): string[] {
  return [management.cidr, vip.cidr];
}

function entryOf(
  plan: NamespacePlan,
  hostId: string,
  request: PrepareRequest,
): Omit<RegistryEntry, 'version' | 'writer'> {
  const { installationId, dataFolder, runtimeFolder, endsWithWriter = false } = request;
  return {
    prefix: plan.prefix,
    installationId,
    dataFolder,
    runtimeFolder,
    hostId,
    cidrs: networksOf(plan),
    endsWithWriter,
  };
}

/** Whether two IPv4 networks share an address; an address alone is one of 32 bits. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [rangeOf(one), rangeOf(other)];
  return a !== null && b !== null && a.first <= b.last && b.first <= a.last;
}

function rangeOf(cidr: string): { first: number; last: number } | null {
  const [address = '', length = '32'] = cidr.split('/');
  const number = parseIpv4(address);
  if (number === null) return null;
  const size = 2 ** (32 - Number(length));
  const first = number - (number % size);
  return { first, last: first + size - 1 };
}
