import type { CallContext } from '../call-context.ts';
import type { LeavesThings } from '../leftover.ts';

/** Source: `amphora_type` of the compute driver interface, Octavia 0.5. */
export type AmphoraType = 'VM' | 'CONTAINER' | 'BARE_METAL' | 'HW_LOAD_BALANCER' | 'PROCESS';

/** At most this many config-drive files of this many bytes each. Source: compute driver interface, Octavia 0.5. */
export const MAX_CONFIG_DRIVE_FILES = 5;
export const MAX_CONFIG_DRIVE_FILE_BYTES = 10 * 1024;

/** Text, or bytes as they are. Source: "a string or a file-like object", compute driver interface, Octavia 0.5. */
export type FileContent = string | Uint8Array;

/** Parameters of `build`, all of the 0.5 interface and what later Octavia added. */
export interface BuildRequest {
  /** UUID; the instance's name is derived from it (`amphora-<id>`), so a second build finds the first. */
  readonly amphoraId: string;
  readonly amphoraType?: AmphoraType;
  readonly amphoraFlavor?: string;
  readonly imageId?: string;
  readonly imageTag?: string;
  /** Names of SSH public keys. */
  readonly keys?: readonly string[];
  readonly secGroups?: readonly string[];
  readonly networkIds?: readonly string[];
  readonly availabilityZone?: string;
  /**
   * Amphorae that it had better not share a compute host with: its peer. A service of one host builds it all the same.
   * Source: the server group of Octavia's compute interface.
   */
  readonly apartFrom?: readonly string[];
  /** Absolute path in the amphora to content. @see MAX_CONFIG_DRIVE_FILES */
  readonly configDriveFiles?: Readonly<Record<string, FileContent>>;
  readonly userData?: FileContent;
}

export interface Instance {
  readonly computeId: string;
  readonly amphoraId: string;
  /** BUILDING: asked for. ACTIVE: its processes run. STOPPED: they do not, and nothing restarts them. ERROR: see `fault`. */
  readonly status: 'BUILDING' | 'ACTIVE' | 'STOPPED' | 'ERROR';
  readonly fault: string | null;
  /** Where the agent answers; null while it is not known. */
  readonly lbNetworkIp: string | null;
  readonly agentPort: number;
  readonly zone: string;
  readonly imageId: string;
  readonly computeFlavor: string;
  /** Id of the local compute host; null where the service is not local. */
  readonly computeHost: string | null;
}

/**
 * Makes and deletes amphora instances. Every method may be repeated without further effect, and returns within 200 ms of work of
 * its own: building goes on behind it, `get` tells when it is done. Any may throw ComputeUnavailable, StaleFence, and for the id of an
 * instance elsewhere InstanceOfAnotherHost.
 */
export interface ComputeDriver extends LeavesThings {
  /** Such as `local`. */
  readonly name: string;
  /**
   * Starts to build, or finishes or finds what an earlier call started. Returns the compute id. An amphora that was fenced or deleted is
   * never built again. @throws AmphoraBuildError
   */
  build(request: BuildRequest, context?: CallContext): Promise<string>;
  /**
   * Gives a living instance new config-drive files: absolute paths and limits as for `build`; files that are not named stay. Each appears
   * whole, none while another may not; the instance takes them up by itself. Nothing is done to one that was fenced or deleted.
   * @throws InstanceNotFoundError, AmphoraComputeError, NotImplemented where files cannot be changed later
   */
  replaceFiles(computeId: string, files: Readonly<Record<string, FileContent>>, context?: CallContext): Promise<void>;
  /** Deletes the instance and its files. Succeeds if there is none. @throws DeleteFailed */
  delete(computeId: string, context?: CallContext): Promise<void>;
  /** Whether the instance runs. @throws InstanceNotFoundError */
  status(computeId: string, context?: CallContext): Promise<'UP' | 'DOWN'>;
  /** Finds an instance by its compute id or its amphora id. @throws InstanceNotFoundError */
  get(by: { readonly computeId: string } | { readonly amphoraId: string }, context?: CallContext): Promise<Instance>;
  /** All instances of this installation, for adoption and orphans. */
  list(context?: CallContext): Promise<readonly Instance[]>;
  /**
   * Isolates the instance for good and returns once that is certain: its processes are gone (by cgroup, or by pid and start time), or
   * its ports are down. Succeeds if there is no such instance and there can be none. @throws FenceNotConfirmed
   */
  fence(computeId: string, context?: CallContext): Promise<void>;
  /**
   * No instance of this amphora is built from now on, whoever asks, and however late: a worker that was stopped before its call may wake
   * up after others have cleaned up. One that is there already stays. Where the service cannot do that, it does nothing.
   */
  forbid(amphoraId: string, context?: CallContext): Promise<void>;
  /** Continues a suspended instance. @throws NotSuspendedError, NotImplemented */
  resume(computeId: string, context?: CallContext): Promise<void>;
  /** Ends what the driver itself runs; instances live on. */
  close(): Promise<void>;
}
