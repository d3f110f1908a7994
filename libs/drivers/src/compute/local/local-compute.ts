import { randomUUID } from 'node:crypto';
import { access, constants, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallContext } from '../../call-context.ts';
import {
  AmphoraBuildError,
  ComputeUnavailable,
  DeleteFailed,
  FenceNotConfirmed,
  InstanceNotFoundError,
  InstanceOfAnotherHost,
  NotSuspendedError,
} from '../../errors.ts';
import { type EpochFences, FolderFences } from '../../fences/epoch-fences.ts';
import { readIfThere, writeOnce, writeWhole } from '../../files.ts';
import { checkBuildRequest, isUuid } from '../build-request.ts';
import type { BuildRequest, ComputeDriver, FileContent, Instance } from '../compute-driver.ts';
import { localAgentConfig } from './agent-config.ts';
import { amphoraProcesses, readClaim } from './amphora-processes.ts';
import { makeCgroup, removeCgroup } from './cgroup.ts';
import { fenceAmphora } from './fence-amphora.ts';
import { type InstanceRecord, readRecord, writeRecord } from './instance-record.ts';
import { describeInstance } from './instance-status.ts';
import { AddressLeases } from './leases.ts';
import {
  AGENT_CONFIG_PATH,
  checkOptions,
  type InstancePaths,
  type Layout,
  type LocalComputeOptions,
  layoutOf,
  pathsOf,
} from './options.ts';
import { readProcess, signalProcess } from './process-table.ts';
import { spawnAgent } from './spawn-agent.ts';

const DEFAULT_AGENT_PORT = 9443;
const DEFAULT_FENCE_TIMEOUT_MS = 5000;

/**
 * Amphorae on this machine in loopback mode: each is a group of processes on an address of 127.0.0.0/8. What there is, is in the data
 * folder and in /proc; this object remembers nothing, so any worker of this host can go on where another stopped.
 */
export class LocalComputeDriver implements ComputeDriver {
  readonly name = 'local';
  readonly #options: LocalComputeOptions;
  readonly #layout: Layout;
  readonly #fences: EpochFences;
  readonly #leases: AddressLeases;
  #hostId: string | null = null;

  /** @throws TypeError naming every option that cannot be right */
  constructor(options: LocalComputeOptions) {
    this.#leases = new AddressLeases(layoutOf(options).leases, checkOptions(options));
    this.#options = options;
    this.#layout = layoutOf(options);
    this.#fences = new FolderFences(this.#layout.fences);
  }

  async build(request: BuildRequest, context?: CallContext): Promise<string> {
    checkBuildRequest(this.name, request, ['PROCESS', 'CONTAINER', 'VM']);
    const { amphoraId } = request;
    const { hostId, paths } = await this.#enter(amphoraId, context);
    if ((await readIfThere(paths.mark)) !== null) {
      throw new AmphoraBuildError(`Amphora ${amphoraId} was fenced and is not built again.`, { amphoraId });
    }
    if (readClaim(paths) === null) await this.#finishBuild(request, hostId, paths, context);
    return `${hostId}:${amphoraId}`;
  }

  async delete(computeId: string, context?: CallContext): Promise<void> {
    const { amphoraId, hostId, paths } = await this.#enterById(computeId, context);
    await this.#fence(computeId, amphoraId, hostId, paths, context);
    try {
      await rm(paths.folder, { recursive: true, force: true, maxRetries: 3 });
      await rm(paths.sockets, { recursive: true, force: true });
      await this.#leases.release(amphoraId);
    } catch (error) {
      const why = (error as Error).message;
      throw new DeleteFailed(`Files of instance ${computeId} remain: ${why}.`, { computeId, why }, { cause: error });
    }
    removeCgroup(hostId, amphoraId);
  }

  async status(computeId: string, context?: CallContext): Promise<'UP' | 'DOWN'> {
    return (await this.get({ computeId }, context)).status === 'ACTIVE' ? 'UP' : 'DOWN';
  }

  async get(by: { computeId: string } | { amphoraId: string }, context?: CallContext): Promise<Instance> {
    const { amphoraId, hostId, paths } =
      'computeId' in by ? await this.#enterById(by.computeId, context) : await this.#enter(by.amphoraId, context);
    const record = isUuid(amphoraId) ? await readRecord(paths.record) : null;
    if (!record) throw new InstanceNotFoundError(`There is no instance of amphora ${amphoraId}.`, { amphoraId });
    this.#checkOwner(record, hostId);
    return describeInstance(record, paths);
  }

  async list(context?: CallContext): Promise<readonly Instance[]> {
    context?.signal?.throwIfAborted();
    const hostId = await this.hostId();
    const found: Instance[] = [];
    for (const amphoraId of await readdir(this.#layout.amphorae).catch(() => [])) {
      if (!isUuid(amphoraId)) continue;
      const paths = pathsOf(this.#layout, amphoraId);
      const record = await readRecord(paths.record);
      if (record?.hostId === hostId) found.push(await describeInstance(record, paths));
    }
    return found;
  }

  async fence(computeId: string, context?: CallContext): Promise<void> {
    const { amphoraId, hostId, paths } = await this.#enterById(computeId, context);
    await this.#fence(computeId, amphoraId, hostId, paths, context);
  }

  async resume(computeId: string, context?: CallContext): Promise<void> {
    const { amphoraId, hostId, paths } = await this.#enterById(computeId, context);
    await this.get({ computeId });
    const agent = readClaim(paths)?.identity;
    const isSuspended = agent && readProcess(agent.pid)?.state === 'T';
    if (!isSuspended) throw new NotSuspendedError(`Instance ${computeId} is not suspended.`, { computeId });
    for (const identity of await amphoraProcesses(hostId, amphoraId, paths)) signalProcess(identity, 'SIGCONT');
  }

  async close(): Promise<void> {}

  /** Id of this compute host: as configured, else what the data folder says; made at the first call. */
  async hostId(): Promise<string> {
    if (this.#hostId !== null) return this.#hostId;
    await writeOnce(this.#layout.hostIdFile, `${this.#options.hostId ?? randomUUID()}\n`);
    const kept = (await readIfThere(this.#layout.hostIdFile))?.trim() ?? '';
    const { hostId = kept, dataFolder } = this.#options;
    if (hostId !== kept || !/^[\w.-]+$/.test(kept)) {
      throw new ComputeUnavailable(
        `Data folder ${dataFolder} belongs to compute host ${kept}, not to ${hostId}. Name the right folder, or the right id.`,
        { dataFolder, kept, hostId },
      );
    }
    this.#hostId = kept;
    return kept;
  }

  async #enter(amphoraId: string, context: CallContext | undefined) {
    context?.signal?.throwIfAborted();
    await this.#fences.admit(context);
    return { amphoraId, hostId: await this.hostId(), paths: pathsOf(this.#layout, amphoraId) };
  }

  async #enterById(computeId: string, context: CallContext | undefined) {
    const hostId = await this.hostId();
    const amphoraId = computeId.slice(hostId.length + 1);
    if (!computeId.startsWith(`${hostId}:`) || !isUuid(amphoraId)) throw new InstanceOfAnotherHost(computeId, hostId);
    return await this.#enter(amphoraId, context);
  }

  #checkOwner(record: InstanceRecord, hostId: string): void {
    if (record.hostId !== hostId) throw new InstanceOfAnotherHost(`${record.hostId}:${record.amphoraId}`, hostId);
  }

  /** Everything here may have been done by a build that crashed, wholly or in part; only the agent's claim decides. */
  async #finishBuild(request: BuildRequest, hostId: string, paths: InstancePaths, context: CallContext | undefined) {
    const { amphoraId, configDriveFiles = {} } = request;
    const { agentBundlePath, nodePath = process.execPath, agentPort = DEFAULT_AGENT_PORT } = this.#options;
    await this.#checkPrograms(amphoraId, [agentBundlePath, constants.R_OK], [nodePath, constants.X_OK]);
    const kept = await readRecord(paths.record);
    if (kept) this.#checkOwner(kept, hostId);
    const address = await this.#leases.lease(amphoraId);
    await writeRecord(paths.record, {
      amphoraId,
      hostId,
      address,
      agentPort,
      zone: request.availabilityZone ?? 'local',
      imageId: request.imageId ?? request.imageTag ?? 'local',
      computeFlavor: request.amphoraFlavor ?? 'local',
    });
    await mkdir(paths.sockets, { recursive: true, mode: 0o700 });
    await this.#writeFiles(configDriveFiles, paths, address, agentPort);
    if (request.userData !== undefined) await writeWhole(join(paths.folder, 'user-data'), request.userData);
    await this.#fences.admit(context); // The files took a while: who lost the flow meanwhile starts nothing.
    context?.signal?.throwIfAborted();
    const cgroupProcs = (this.#options.usesCgroups ?? true) ? makeCgroup(hostId, amphoraId) : null;
    const environment = this.#options.agentEnvironment ?? {};
    await spawnAgent({ nodePath, agentBundlePath, amphoraId, paths, cgroupProcs, environment });
  }

  async #writeFiles(
    files: Readonly<Record<string, FileContent>>,
    paths: InstancePaths,
    bindHost: string,
    bindPort: number,
  ): Promise<void> {
    const { haproxyCmd, agentSettings } = this.#options;
    for (const [path, content] of Object.entries({ [AGENT_CONFIG_PATH]: '', ...files })) {
      const isAgentConfig = path === AGENT_CONFIG_PATH;
      const text = isAgentConfig
        ? localAgentConfig(Buffer.from(content).toString(), {
            folder: paths.folder,
            bindHost,
            bindPort,
            haproxyCmd,
            controller: {
              socket_path: paths.sockets,
              exclusive_bind: 'True', // Amphorae share the host's addresses, so a second bind has to fail.
              strict_limits: 'False',
              ...agentSettings,
            },
          })
        : content;
      await writeWhole(join(paths.folder, path), text);
    }
  }

  async #checkPrograms(amphoraId: string, ...programs: readonly [string, number][]): Promise<void> {
    for (const [path, mode] of programs) {
      await access(path, mode).catch((error: Error) => {
        throw new AmphoraBuildError(`Amphora ${amphoraId} cannot be built: ${error.message}.`, { amphoraId, path });
      });
    }
  }

  async #fence(
    computeId: string,
    amphoraId: string,
    hostId: string,
    paths: InstancePaths,
    context: CallContext | undefined,
  ): Promise<void> {
    const record = await readRecord(paths.record);
    if (record) this.#checkOwner(record, hostId);
    const timeoutMs = this.#options.fenceTimeoutMs ?? DEFAULT_FENCE_TIMEOUT_MS;
    try {
      await fenceAmphora({
        layout: this.#layout,
        paths,
        hostId,
        amphoraId,
        computeId,
        timeoutMs,
        signal: context?.signal,
      });
    } catch (error) {
      context?.signal?.throwIfAborted();
      if (error instanceof FenceNotConfirmed) throw error;
      throw new FenceNotConfirmed(computeId, (error as Error).message, { cause: error }); // Such as a full disk.
    }
  }
}
