import { access, constants, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallContext } from '../../call-context.ts';
import { AmphoraBuildError, ComputeUnavailable } from '../../errors.ts';
import type { EpochFences } from '../../fences/epoch-fences.ts';
import { writeWhole } from '../../files.ts';
import { makeNamespace, plugPair, setManagementAddress } from '../../namespaces/amphora-network.ts';
import { IpError } from '../../namespaces/ip.ts';
import { amphoraNames, type NamespacePlan } from '../../namespaces/plan.ts';
import type { BuildRequest } from '../compute-driver.ts';
import { cgroupFolder, makeCgroup } from './cgroup.ts';
import { type AmphoraLimits, limitAmphora } from './cgroup-limits.ts';
import { configDrive } from './config-drive.ts';
import { type InstanceRecord, writeRecord } from './instance-record.ts';
import type { AddressLeases } from './leases.ts';
import { AGENT_CONFIG_PATH, type InstancePaths, type LocalComputeOptions } from './options.ts';
import { spawnAgent } from './spawn-agent.ts';

/** Source: `[haproxy_amphora] bind_port` of Octavia. */
const DEFAULT_AGENT_PORT = 9443;

/**
 * Keeps one amphora from taking the machine from the others. HAProxy uses what it has processors for; an agent and its HAProxy were seen
 * to use 150 MiB and 40 threads.
 */
export const DEFAULT_LIMITS: AmphoraLimits = { cpus: 2, memoryMib: 1024, pids: 1024 };

export interface BuildParts {
  readonly request: BuildRequest;
  readonly context: CallContext | undefined;
  readonly hostId: string;
  readonly paths: InstancePaths;
  readonly leases: AddressLeases;
  readonly fences: EpochFences;
  readonly options: LocalComputeOptions;
}

/**
 * Does what an instance still lacks: address, record, files, agent. Each part may have been done by a build that crashed, wholly or in
 * part, and is done again; only the agent's claim says that it is built. @throws AmphoraBuildError, ComputeUnavailable
 */
export async function buildInstance(parts: BuildParts): Promise<void> {
  const { request, context, hostId, paths, options } = parts;
  const { amphoraId } = request;
  const { agentBundlePath, nodePath = process.execPath, agentPort = DEFAULT_AGENT_PORT } = options;
  await checkPrograms(amphoraId, [agentBundlePath, constants.R_OK], [nodePath, constants.X_OK]);
  const address = await parts.leases.lease(amphoraId);
  const record: InstanceRecord = {
    amphoraId,
    hostId,
    address,
    agentPort,
    zone: request.availabilityZone ?? 'local',
    imageId: request.imageId ?? request.imageTag ?? 'local',
    computeFlavor: request.amphoraFlavor ?? 'local',
  };
  await writeRecord(paths.record, record);
  await mkdir(paths.sockets, { recursive: true, mode: 0o700 });
  await writeFiles(parts, record);
  const networkNamespace = options.namespaces ? await connect(options.namespaces, amphoraId, address) : null;
  await parts.fences.admit(context); // All that took a while: who lost the flow meanwhile starts nothing.
  context?.signal?.throwIfAborted();
  const cgroupProcs = (options.usesCgroups ?? true) ? cgroupsFor(parts) : [];
  const environment = options.agentEnvironment ?? {};
  await spawnAgent({ nodePath, agentBundlePath, amphoraId, paths, cgroupProcs, networkNamespace, environment });
}

/** Makes the amphora's namespace with its interface on the management network. Returns the namespace's file. @throws ComputeUnavailable */
async function connect(plan: NamespacePlan, amphoraId: string, address: string): Promise<string> {
  const names = amphoraNames(plan, amphoraId);
  try {
    await makeNamespace(names);
    await plugPair(plan, amphoraId, 'management');
    await setManagementAddress(plan, amphoraId, address);
  } catch (error) {
    if (!(error instanceof IpError)) throw error;
    throw new ComputeUnavailable(`Amphora ${amphoraId} gets no network: ${error.message}.`, { amphoraId });
  }
  return names.namespaceFile;
}

/** Files that take pids of the amphora: of the group that tells and kills its processes, and of those that limit them. */
function cgroupsFor({ hostId, request: { amphoraId }, options }: BuildParts): string[] {
  const group = makeCgroup(hostId, amphoraId);
  const limits = options.limits ?? DEFAULT_LIMITS;
  const limiting = options.namespaces ? limitAmphora(cgroupFolder(hostId, amphoraId), limits) : [];
  return [...new Set([...(group === null ? [] : [group]), ...limiting])];
}

async function writeFiles({ request, paths, options }: BuildParts, record: InstanceRecord): Promise<void> {
  const { configDriveFiles = {}, userData } = request;
  const files = { [AGENT_CONFIG_PATH]: '', ...configDriveFiles };
  for (const [path, content] of configDrive(files, record, paths, options)) await writeWhole(path, content);
  if (userData !== undefined) await writeWhole(join(paths.folder, 'user-data'), userData);
}

async function checkPrograms(amphoraId: string, ...programs: readonly [string, number][]): Promise<void> {
  for (const [path, mode] of programs) {
    await access(path, mode).catch((error: Error) => {
      throw new AmphoraBuildError(`Amphora ${amphoraId} cannot be built: ${error.message}.`, { amphoraId, path });
    });
  }
}
