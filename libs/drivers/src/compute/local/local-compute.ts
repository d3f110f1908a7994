import { readdir, rm } from 'node:fs/promises';
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
import { writeAllWhole } from '../../files.ts';
import type { Leftover } from '../../leftover.ts';
import { removeNamespace, unplugPairs } from '../../namespaces/amphora-network.ts';
import { amphoraNames } from '../../namespaces/plan.ts';
import { ownAddresses } from '../../network/local/namespaces-plugging.ts';
import { namingSystemErrors } from '../../system-errors.ts';
import { checkBuildRequest, checkFiles, isUuid } from '../build-request.ts';
import type { BuildRequest, ComputeDriver, FileContent, Instance } from '../compute-driver.ts';
import { amphoraProcesses, readClaim } from './amphora-processes.ts';
import { buildInstance } from './build-instance.ts';
import { removeCgroup, sweepCgroups } from './cgroup.ts';
import { configDrive } from './config-drive.ts';
import { fenceAmphora } from './fence-amphora.ts';
import { FenceMarks } from './fence-marks.ts';
import { openHostId } from './host-id.ts';
import { type InstanceRecord, readRecord } from './instance-record.ts';
import { describeInstance } from './instance-status.ts';
import { AddressLeases } from './leases.ts';
import { localLeftovers, removeNameless } from './leftovers.ts';
import {
  checkOptions,
  type InstancePaths,
  type Layout,
  type LocalComputeOptions,
  layoutOf,
  pathsOf,
} from './options.ts';
import { readProcess, signalProcess } from './process-table.ts';

const DEFAULT_FENCE_TIMEOUT_MS = 5000;
/** Between two looks for control groups that dead installations left. */
const SWEEP_EVERY_MS = 3600 * 1000;

/**
 * Amphorae on this machine. In loopback mode each is a group of processes on an address of 127.0.0.0/8; in namespaces mode it has a
 * network namespace of its own, too. What there is, is in the data folder, in /proc and in the kernel; this object remembers nothing,
 * so any worker of this host can go on where another stopped.
 */
export class LocalComputeDriver implements ComputeDriver {
  readonly name = 'local';
  readonly #options: LocalComputeOptions;
  readonly #layout: Layout;
  readonly #fences: EpochFences;
  readonly #leases: AddressLeases;
  readonly #marks: FenceMarks;
  #hostId: string | null = null;
  #sweptAt = Number.NEGATIVE_INFINITY;

  /** @throws TypeError naming every option that cannot be right */
  constructor(options: LocalComputeOptions) {
    this.#leases = new AddressLeases(layoutOf(options).leases, checkOptions(options));
    this.#options = options;
    this.#layout = layoutOf(options);
    this.#fences = new FolderFences(this.#layout.fences);
    this.#marks = new FenceMarks(this.#layout);
  }

  build(request: BuildRequest, context?: CallContext): Promise<string> {
    return this.#named(async () => {
      checkBuildRequest(this.name, request, ['PROCESS', 'CONTAINER', 'VM']);
      const { amphoraId } = request;
      const { hostId, paths } = await this.#enter(amphoraId, context);
      if (await this.#marks.has(amphoraId)) {
        throw new AmphoraBuildError(`Amphora ${amphoraId} was fenced and is not built again.`, { amphoraId });
      }
      if (readClaim(paths) === null) {
        const kept = await readRecord(paths.record);
        if (kept) this.#checkOwner(kept, hostId);
        try {
          await buildInstance({
            request,
            context,
            hostId,
            paths,
            leases: this.#leases,
            fences: this.#fences,
            options: this.#options,
          });
        } finally {
          await this.#withdrawIfFenced(amphoraId);
        }
      }
      await this.#sweepNowAndThen();
      return `${hostId}:${amphoraId}`;
    });
  }

  replaceFiles(computeId: string, files: Readonly<Record<string, FileContent>>, context?: CallContext): Promise<void> {
    return this.#named(async () => {
      const { amphoraId, hostId, paths } = await this.#enterById(computeId, context);
      checkFiles(amphoraId, files);
      const record = await readRecord(paths.record);
      if (!record) throw new InstanceNotFoundError(`There is no instance of amphora ${amphoraId}.`, { amphoraId });
      this.#checkOwner(record, hostId);
      await writeAllWhole(configDrive(files, record, paths, this.#options), async () => {
        // The drafts took a while: who lost the flow meanwhile changes nothing, and a fence is final.
        await this.#fences.admit(context);
        context?.signal?.throwIfAborted();
        if (!(await this.#marks.has(amphoraId))) return;
        throw new InstanceNotFoundError(`Amphora ${amphoraId} was fenced and takes no more files.`, { amphoraId });
      });
    });
  }

  delete(computeId: string, context?: CallContext): Promise<void> {
    return this.#named(async () => {
      const { amphoraId, hostId, paths } = await this.#enterById(computeId, context);
      await this.#fence(computeId, amphoraId, hostId, paths, context);
      try {
        const { namespaces } = this.#options;
        if (namespaces) await removeNamespace(amphoraNames(namespaces, amphoraId));
        await rm(paths.folder, { recursive: true, force: true, maxRetries: 3 });
        await rm(paths.sockets, { recursive: true, force: true });
        await this.#leases.release(amphoraId);
        await ownAddresses(this.#layout.dataFolder).release(amphoraId);
      } catch (error) {
        const why = (error as Error).message;
        throw new DeleteFailed(`Parts of instance ${computeId} remain: ${why}.`, { computeId, why }, { cause: error });
      }
      removeCgroup(hostId, amphoraId);
      await this.#marks.forgetOld();
      await this.#sweepNowAndThen();
    });
  }

  async status(computeId: string, context?: CallContext): Promise<'UP' | 'DOWN'> {
    return (await this.get({ computeId }, context)).status === 'ACTIVE' ? 'UP' : 'DOWN';
  }

  get(by: { computeId: string } | { amphoraId: string }, context?: CallContext): Promise<Instance> {
    return this.#named(async () => {
      const { amphoraId, hostId, paths } =
        'computeId' in by ? await this.#enterById(by.computeId, context) : await this.#enter(by.amphoraId, context);
      const record = isUuid(amphoraId) ? await readRecord(paths.record) : null;
      if (!record) throw new InstanceNotFoundError(`There is no instance of amphora ${amphoraId}.`, { amphoraId });
      this.#checkOwner(record, hostId);
      return describeInstance(record, paths);
    });
  }

  list(context?: CallContext): Promise<readonly Instance[]> {
    return this.#named(async () => {
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
    });
  }

  leftovers(context?: CallContext): Promise<readonly Leftover[]> {
    return this.#named(async () => {
      context?.signal?.throwIfAborted();
      return localLeftovers({
        layout: this.#layout,
        hostId: await this.hostId(),
        namespaces: this.#options.namespaces,
        ownAddresses: ownAddresses(this.#layout.dataFolder),
      });
    });
  }

  async removeLeftover(leftover: Leftover, context?: CallContext): Promise<void> {
    const { amphoraId } = leftover;
    if (amphoraId !== null) {
      await this.delete(`${await this.hostId()}:${amphoraId}`, context);
      const { namespaces } = this.#options;
      // One that lost its namespace stays on the bridge.
      if (namespaces && leftover.kind === 'link') await unplugPairs(namespaces, amphoraId, ['management', 'vip']);
      return;
    }
    await this.#fences.admit(context);
    await this.#named(() => removeNameless(leftover, { layout: this.#layout }));
  }

  fence(computeId: string, context?: CallContext): Promise<void> {
    return this.#named(async () => {
      const { amphoraId, hostId, paths } = await this.#enterById(computeId, context);
      await this.#fence(computeId, amphoraId, hostId, paths, context);
    });
  }

  forbid(amphoraId: string, context?: CallContext): Promise<void> {
    return this.#named(async () => {
      await this.#enter(amphoraId, context);
      await this.#marks.make(amphoraId);
    });
  }

  resume(computeId: string, context?: CallContext): Promise<void> {
    return this.#named(async () => {
      const { amphoraId, hostId, paths } = await this.#enterById(computeId, context);
      await this.get({ computeId });
      const agent = readClaim(paths)?.identity;
      const isSuspended = agent && readProcess(agent.pid)?.state === 'T';
      if (!isSuspended) throw new NotSuspendedError(`Instance ${computeId} is not suspended.`, { computeId });
      const { namespaces } = this.#options;
      const names = namespaces ? amphoraNames(namespaces, amphoraId) : null;
      for (const identity of await amphoraProcesses(hostId, amphoraId, paths, names))
        signalProcess(identity, 'SIGCONT');
    });
  }

  async close(): Promise<void> {}

  /** Id of this compute host. @see openHostId */
  async hostId(): Promise<string> {
    this.#hostId ??= await openHostId(this.#options);
    return this.#hostId;
  }

  #named<T>(work: () => Promise<T>): Promise<T> {
    return namingSystemErrors((...error) => new ComputeUnavailable(...error), work);
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

  /**
   * Takes back the network that a build, which was stopped half-way and woke up, gave to an amphora that was fenced or deleted meanwhile. Its
   * agent, if it came so far, has ended by itself.
   */
  async #withdrawIfFenced(amphoraId: string): Promise<void> {
    const { namespaces } = this.#options;
    if (!namespaces || !(await this.#marks.has(amphoraId))) return;
    await unplugPairs(namespaces, amphoraId, ['management', 'vip']);
    await removeNamespace(amphoraNames(namespaces, amphoraId));
  }

  async #sweepNowAndThen(): Promise<void> {
    const now = performance.now();
    if (this.#options.usesCgroups === false || now - this.#sweptAt < SWEEP_EVERY_MS) return;
    this.#sweptAt = now;
    await sweepCgroups();
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
        marks: this.#marks,
        paths,
        hostId,
        amphoraId,
        computeId,
        timeoutMs,
        signal: context?.signal,
        namespaces: this.#options.namespaces,
      });
    } catch (error) {
      context?.signal?.throwIfAborted();
      if (error instanceof FenceNotConfirmed) throw error;
      throw new FenceNotConfirmed(computeId, (error as Error).message, { cause: error }); // Such as a full disk.
    }
  }
}
