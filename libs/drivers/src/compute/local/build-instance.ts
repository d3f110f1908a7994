import { access, constants, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallContext } from '../../call-context.ts';
import { AmphoraBuildError } from '../../errors.ts';
import type { EpochFences } from '../../fences/epoch-fences.ts';
import { writeWhole } from '../../files.ts';
import type { BuildRequest } from '../compute-driver.ts';
import { makeCgroup } from './cgroup.ts';
import { configDrive } from './config-drive.ts';
import { type InstanceRecord, writeRecord } from './instance-record.ts';
import type { AddressLeases } from './leases.ts';
import { AGENT_CONFIG_PATH, type InstancePaths, type LocalComputeOptions } from './options.ts';
import { spawnAgent } from './spawn-agent.ts';

/** Source: `[haproxy_amphora] bind_port` of Octavia. */
const DEFAULT_AGENT_PORT = 9443;

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
  await parts.fences.admit(context); // The files took a while: who lost the flow meanwhile starts nothing.
  context?.signal?.throwIfAborted();
  const cgroupProcs = (options.usesCgroups ?? true) ? makeCgroup(hostId, amphoraId) : null;
  const environment = options.agentEnvironment ?? {};
  await spawnAgent({ nodePath, agentBundlePath, amphoraId, paths, cgroupProcs, environment });
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
