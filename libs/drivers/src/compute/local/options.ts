import { isAbsolute, join } from 'node:path';
import { type Ipv4Range, ipv4Range } from '../../addresses.ts';
import type { NamespacePlan } from '../../namespaces/plan.ts';
import type { AmphoraLimits } from './cgroup-limits.ts';

export interface LocalComputeOptions {
  /** Absolute. Instances, leases and marks are below it; whoever has the folder has the instances. */
  readonly dataFolder: string;
  /** Absolute and short, for sockets. @see MAX_RUNTIME_FOLDER_BYTES */
  readonly runtimeFolder: string;
  /** First and last management address, both included: of 127.0.0.0/8, or of the plan's management network. */
  readonly managementFirst: string;
  readonly managementLast: string;
  /** Port of every agent, each on its own address. Default: 9443. */
  readonly agentPort?: number;
  /** The Node that runs agents. Default: the one that runs this process. */
  readonly nodePath?: string;
  readonly agentBundlePath: string;
  /** Id of this compute host. Default: made once and kept in the data folder. */
  readonly hostId?: string;
  /** HAProxy's binary. Default: what the configuration file says (`/usr/sbin/haproxy`). */
  readonly haproxyCmd?: string;
  /** More keys for section [octavia_controller] of the agent's configuration. */
  readonly agentSettings?: Readonly<Record<string, string>>;
  /** Further environment of agents, beside the few variables that they inherit. */
  readonly agentEnvironment?: Readonly<Record<string, string>>;
  /** How long `fence` kills and looks before it gives up, milliseconds. Default: 5000. */
  readonly fenceTimeoutMs?: number;
  /** False: no cgroup is made even where it could be. Default: true. */
  readonly usesCgroups?: boolean;
  /** Set: namespaces mode, in which an amphora is a network namespace on bridges of this plan. Absent: loopback mode. Needs root. */
  readonly namespaces?: NamespacePlan;
  /** What an amphora may use, in namespaces mode. Default: @see DEFAULT_LIMITS */
  readonly limits?: AmphoraLimits;
}

/**
 * Longest `runtimeFolder`, in bytes. A socket path has at most 107 bytes, of which our agent leaves 48 to the folder (HAProxy needs a load
 * balancer's id, `.sock`, and `.<pid>.tmp` while it makes one); 13 are `/` and the 12 digits of the amphora.
 */
export const MAX_RUNTIME_FOLDER_BYTES = 48 - 13;

/** Where everything of one local compute host is. All paths are absolute. */
export interface Layout {
  readonly dataFolder: string;
  readonly runtimeFolder: string;
  readonly amphorae: string;
  /** One symbolic link per leased management address, to the amphora's id. */
  readonly leases: string;
  /** One file per amphora that was fenced or deleted: it is never built again. */
  readonly marks: string;
  readonly fences: string;
  readonly hostIdFile: string;
}

export function layoutOf(options: { readonly dataFolder: string; readonly runtimeFolder: string }): Layout {
  const { dataFolder, runtimeFolder } = options;
  const compute = join(dataFolder, 'compute');
  return {
    dataFolder,
    runtimeFolder,
    amphorae: join(dataFolder, 'amphorae'),
    leases: join(compute, 'leases'),
    marks: fencedMarks(dataFolder),
    fences: join(compute, 'epochs'),
    hostIdFile: join(compute, 'host-id'),
  };
}

/** Folder of the marks of fenced amphorae; the local network driver reads it too. */
export function fencedMarks(dataFolder: string): string {
  return join(dataFolder, 'compute', 'fenced');
}

/** Files of one instance. */
export interface InstancePaths {
  readonly folder: string;
  readonly record: string;
  /** Written by the agent's own process before it becomes the agent: `<pid> <start time> <boot id>`. */
  readonly claim: string;
  readonly mark: string;
  /** What the agent's process prints: hardly more than why it could not start. Its own log is `agent.log` beside it. */
  readonly output: string;
  readonly config: string;
  /** What the agent says that it spawned: a hint. */
  readonly processes: string;
  readonly sockets: string;
}

export const AGENT_CONFIG_PATH = '/etc/octavia/amphora-agent.conf';

export function pathsOf(layout: Layout, amphoraId: string): InstancePaths {
  const folder = join(layout.amphorae, amphoraId);
  return {
    folder,
    record: join(folder, 'instance.json'),
    claim: join(folder, 'agent.pid'),
    mark: join(layout.marks, amphoraId),
    output: join(folder, 'agent.out'),
    config: join(folder, AGENT_CONFIG_PATH),
    processes: join(folder, 'processes.json'),
    sockets: join(layout.runtimeFolder, amphoraId.slice(-12)), // The random end of the id: 48 bits.
  };
}

/** @throws TypeError naming every option that cannot be right */
export function checkOptions(options: LocalComputeOptions): Ipv4Range {
  const faults: string[] = [];
  for (const name of ['dataFolder', 'runtimeFolder', 'agentBundlePath', 'nodePath'] as const) {
    const path = options[name] ?? process.execPath;
    if (!isAbsolute(path)) faults.push(`${name} must be an absolute path`);
  }
  for (const name of ['dataFolder', 'runtimeFolder'] as const) {
    // They become values in configuration files of the agent and of HAProxy, which know no quotes there.
    if (/[\s"'\\#\p{Cc}]/u.test(options[name])) {
      faults.push(`${name} must not hold white space, quotes, backslashes or #`);
    }
  }
  const bytes = Buffer.byteLength(options.runtimeFolder);
  if (bytes > MAX_RUNTIME_FOLDER_BYTES) {
    faults.push(`runtimeFolder has ${bytes} bytes: sockets allow ${MAX_RUNTIME_FOLDER_BYTES}; name a shorter folder`);
  }
  if (faults.length > 0) throw new TypeError(`The local compute driver cannot start: ${faults.join('; ')}.`);
  return ipv4Range(options.managementFirst, options.managementLast);
}
