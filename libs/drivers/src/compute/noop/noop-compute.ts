import { createHash } from 'node:crypto';
import type { CallContext } from '../../call-context.ts';
import {
  AmphoraBuildError,
  ComputeUnavailable,
  InstanceNotFoundError,
  InstanceOfAnotherHost,
  NotSuspendedError,
} from '../../errors.ts';
import type { Leftover } from '../../leftover.ts';
import { NoopControl } from '../../noop/noop-control.ts';
import { type NoopOptions, type NoopWorld, openNoopWorld } from '../../noop/noop-world.ts';
import { checkBuildRequest, checkFiles, isUuid } from '../build-request.ts';
import type { BuildRequest, ComputeDriver, FileContent, Instance } from '../compute-driver.ts';

export interface NoopComputeOptions extends NoopOptions {
  /**
   * What of an instance that this driver does not remember: true, it is believed to be ACTIVE unless it was fenced or deleted here, so
   * that noop amphorae outlive the worker that made them, also where no folder is shared; false, it does not exist.
   */
  readonly adopt?: boolean;
  /** Compute hosts, of which each instance gets one in turn. Default: one without a name. */
  readonly hosts?: readonly string[];
}

const PREFIX = 'noop:';
type State = 'ACTIVE' | 'STOPPED' | 'SUSPENDED';
/** A mark that stays: nothing of such an amphora runs any more, or is made again. */
type Gone = 'forbidden' | 'fenced' | 'deleted';
interface Kept {
  readonly state: State;
  readonly zone: string;
  readonly imageId: string;
  readonly computeFlavor: string;
  /** Absent: a host without a name. */
  readonly host?: string | null;
}

/** Compute in memory, or in a shared folder: instances are rows, and nothing runs. */
export class NoopComputeDriver implements ComputeDriver {
  readonly name = 'noop';
  readonly control: NoopControl;
  readonly #world: NoopWorld;
  readonly #adopts: boolean;
  readonly #hosts: readonly string[];
  #placing: Promise<void> = Promise.resolve();

  constructor(options: NoopComputeOptions = {}) {
    this.#world = openNoopWorld('compute', options);
    this.#adopts = options.adopt ?? false;
    this.#hosts = options.hosts ?? [];
    this.control = new NoopControl({
      driver: 'noop compute',
      fences: this.#world.fences,
      unavailable: (message) => new ComputeUnavailable(message),
      ...options,
    });
  }

  build(request: BuildRequest, context?: CallContext): Promise<string> {
    const { configDriveFiles = {}, userData: _, ...shown } = request; // Files and user data may hold keys.
    const args = [{ ...shown, configDriveFiles: Object.keys(configDriveFiles) }];
    return this.control.run('build', args, context, async () => {
      checkBuildRequest(this.name, request, ['VM', 'CONTAINER', 'PROCESS', 'BARE_METAL', 'HW_LOAD_BALANCER']);
      const { amphoraId } = request;
      if ((await this.#gone(amphoraId)) !== null) {
        throw new AmphoraBuildError(`Amphora ${amphoraId} was fenced and is not built again.`, { amphoraId });
      }
      // One after the other, so that two of a pair, built at once, see each other.
      const placed = this.#placing.then(async () => {
        // It may have waited for long: whoever asked has gone on without it, and may have deleted what is not there yet.
        context?.signal?.throwIfAborted();
        await this.#world.fences.admit(context);
        await this.#place(request);
      });
      this.#placing = placed.catch(() => {});
      await placed;
      return PREFIX + amphoraId;
    });
  }

  replaceFiles(computeId: string, files: Readonly<Record<string, FileContent>>, context?: CallContext): Promise<void> {
    return this.control.run('replaceFiles', [computeId, Object.keys(files)], context, async () => {
      const amphoraId = this.#amphoraOf(computeId);
      checkFiles(amphoraId, files);
      await this.#find(amphoraId);
      if ((await this.#gone(amphoraId)) === null) return;
      throw new InstanceNotFoundError(`Amphora ${amphoraId} was fenced and takes no more files.`, { amphoraId });
    });
  }

  delete(computeId: string, context?: CallContext): Promise<void> {
    return this.control.run('delete', [computeId], context, async () => {
      const amphoraId = this.#amphoraOf(computeId);
      await this.#world.store.put('gone', amphoraId, 'deleted' satisfies Gone);
      await this.#world.store.delete('instances', amphoraId);
    });
  }

  status(computeId: string, context?: CallContext): Promise<'UP' | 'DOWN'> {
    return this.control.run('status', [computeId], context, async () =>
      (await this.#find(this.#amphoraOf(computeId))).state === 'ACTIVE' ? 'UP' : 'DOWN',
    );
  }

  get(by: { computeId: string } | { amphoraId: string }, context?: CallContext): Promise<Instance> {
    return this.control.run('get', [by], context, async () => {
      const amphoraId = 'computeId' in by ? this.#amphoraOf(by.computeId) : by.amphoraId;
      return instance(amphoraId, await this.#find(amphoraId));
    });
  }

  /** Only instances that this driver remembers: those that it would merely adopt are not known before somebody names them. */
  list(context?: CallContext): Promise<readonly Instance[]> {
    return this.control.run('list', [], context, async () => {
      const found: Instance[] = [];
      for (const amphoraId of await this.#world.store.keys('instances')) {
        const kept = await this.#known(amphoraId);
        if (kept) found.push(instance(amphoraId, kept));
      }
      return found;
    });
  }

  leftovers(context?: CallContext): Promise<readonly Leftover[]> {
    return this.control.run('leftovers', [], context, async () =>
      (await this.#world.store.keys('instances')).map((amphoraId) => ({
        kind: 'instance',
        name: PREFIX + amphoraId,
        amphoraId,
        loadBalancerId: null,
        ageMs: null,
      })),
    );
  }

  removeLeftover(leftover: Leftover, context?: CallContext): Promise<void> {
    return this.control.run('removeLeftover', [leftover], context, async () => {
      const amphoraId = this.#amphoraOf(leftover.name);
      await this.#world.store.put('gone', amphoraId, 'deleted' satisfies Gone);
      await this.#world.store.delete('instances', amphoraId);
    });
  }

  fence(computeId: string, context?: CallContext): Promise<void> {
    return this.control.run('fence', [computeId], context, () => this.#mark(this.#amphoraOf(computeId), 'fenced'));
  }

  forbid(amphoraId: string, context?: CallContext): Promise<void> {
    return this.control.run('forbid', [amphoraId], context, () => this.#mark(amphoraId, 'forbidden'));
  }

  resume(computeId: string, context?: CallContext): Promise<void> {
    return this.control.run('resume', [computeId], context, async () => {
      const amphoraId = this.#amphoraOf(computeId);
      const kept = await this.#find(amphoraId);
      if (kept.state !== 'SUSPENDED') {
        throw new NotSuspendedError(`Instance ${computeId} is not suspended.`, { computeId });
      }
      await this.#keep(amphoraId, { ...kept, state: 'ACTIVE' });
    });
  }

  async close(): Promise<void> {}

  /** Whether the instance was fenced or deleted here. */
  async isFenced(amphoraId: string): Promise<boolean> {
    const gone = await this.#gone(amphoraId);
    return gone === 'fenced' || gone === 'deleted';
  }

  /** For tests: the instance dies (STOPPED) or is suspended, as if from outside. */
  async disturb(amphoraId: string, state: 'STOPPED' | 'SUSPENDED'): Promise<void> {
    await this.#keep(amphoraId, { ...(await this.#find(amphoraId)), state });
  }

  #keep(amphoraId: string, kept: Kept): Promise<void> {
    return this.#world.store.put('instances', amphoraId, kept);
  }

  /** What is remembered of an instance, as the marks say. */
  async #known(amphoraId: string): Promise<Kept | null> {
    const kept = await this.#world.store.get<Kept>('instances', amphoraId);
    const gone = await this.#gone(amphoraId);
    if (kept === null || gone === 'deleted') return null;
    return gone === 'fenced' ? { ...kept, state: 'STOPPED' } : kept;
  }

  async #find(amphoraId: string): Promise<Kept> {
    const kept = await this.#known(amphoraId);
    if (kept) return kept;
    if (!this.#adopts || !isUuid(amphoraId) || (await this.#gone(amphoraId)) !== null) {
      throw new InstanceNotFoundError(`There is no instance of amphora ${amphoraId}.`, { amphoraId });
    }
    return { state: 'ACTIVE', zone: 'noop', imageId: 'noop', computeFlavor: 'noop' };
  }

  /**
   * A mark of its own, which only grows: a process that was stopped here must not write back an instance that has been deleted
   * meanwhile.
   */
  async #mark(amphoraId: string, gone: 'forbidden' | 'fenced'): Promise<void> {
    const marked = await this.#gone(amphoraId);
    if (marked === null || marked === 'forbidden') await this.#world.store.put('gone', amphoraId, gone);
  }

  #gone(amphoraId: string): Promise<Gone | null> {
    return this.#world.store.get<Gone>('gone', amphoraId);
  }

  async #place({
    amphoraId,
    availabilityZone,
    imageId,
    imageTag,
    amphoraFlavor,
    apartFrom,
  }: BuildRequest): Promise<void> {
    if (await this.#world.store.get('instances', amphoraId)) return;
    await this.#keep(amphoraId, {
      state: 'ACTIVE',
      zone: availabilityZone ?? 'noop',
      imageId: imageId ?? imageTag ?? 'noop',
      computeFlavor: amphoraFlavor ?? 'noop',
      host: await this.#hostFor(apartFrom ?? []),
    });
  }

  /** The host with the fewest instances, those of `apartFrom` last. */
  async #hostFor(apartFrom: readonly string[]): Promise<string | null> {
    if (this.#hosts.length === 0) return null;
    const load = new Map(this.#hosts.map((host) => [host, 0]));
    for (const amphoraId of await this.#world.store.keys('instances')) {
      const host = (await this.#world.store.get<Kept>('instances', amphoraId))?.host;
      if (!host) continue;
      const weight = apartFrom.includes(amphoraId) ? Number.MAX_SAFE_INTEGER : 1;
      load.set(host, (load.get(host) ?? 0) + weight);
    }
    return [...load].sort(([, one], [, other]) => one - other)[0]?.[0] ?? null;
  }

  #amphoraOf(computeId: string): string {
    const amphoraId = computeId.slice(PREFIX.length);
    if (!computeId.startsWith(PREFIX) || !isUuid(amphoraId)) throw new InstanceOfAnotherHost(computeId, 'noop');
    return amphoraId;
  }
}

function instance(amphoraId: string, { state, zone, imageId, computeFlavor, host }: Kept): Instance {
  return {
    computeId: PREFIX + amphoraId,
    amphoraId,
    status: state === 'ACTIVE' ? 'ACTIVE' : 'STOPPED',
    fault: state === 'SUSPENDED' ? 'It is suspended; resume continues it.' : null,
    lbNetworkIp: noopAddress(amphoraId),
    agentPort: 9443,
    zone,
    imageId,
    computeFlavor,
    computeHost: host ?? null,
  };
}

/** Management address of a noop amphora: derived from its id, so that it needs no memory, and never routed (fd00::/8). */
export function noopAddress(amphoraId: string): string {
  const hash = createHash('sha256').update(amphoraId).digest();
  const groups = [0, 2, 4, 6].map((offset) => hash.readUInt16BE(offset).toString(16));
  return `fd6e:6f6f:7001:1:${groups.join(':')}`;
}
