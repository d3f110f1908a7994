import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { AmphoraNames } from '../../namespaces/plan.ts';
import { membershipOf } from '../../namespaces/processes-in.ts';
import { cgroupPids } from './cgroup.ts';
import type { InstancePaths } from './options.ts';
import {
  bootId,
  commandLine,
  eachProcess,
  hasEnvironment,
  ownAncestors,
  type ProcessIdentity,
  type ProcessStat,
  readProcess,
  runs,
} from './process-table.ts';
import { AMPHORA_VARIABLE } from './spawn-agent.ts';

/** The agent as its claim tells: null while nobody claimed; `identity` null when it is of another boot or was cut short. */
export function readClaim(paths: InstancePaths): { readonly identity: ProcessIdentity | null } | null {
  let text: string;
  try {
    text = readFileSync(paths.claim, 'utf8');
  } catch {
    return null;
  }
  const [pid, startTime, boot] = text.trim().split(' ');
  if (!pid || !startTime || boot !== bootId()) return { identity: null };
  return { identity: { pid: Number(pid), startTime } };
}

const identitySchema = z.object({
  pid: z.int().positive(),
  startTime: z.union([z.string(), z.number()]).transform(String),
});

/**
 * What the agent says that it spawned: every pid with a start time, however deep in its file. Only a hint: the file may be old, cut short
 * or wrong.
 */
function readHints(paths: InstancePaths, agent: ProcessIdentity | null): ProcessIdentity[] {
  if (!agent) return []; // Also when the agent is of another run of the machine, and the file with it.
  const hints: ProcessIdentity[] = [];
  try {
    JSON.parse(readFileSync(paths.processes, 'utf8'), (_, value: unknown) => {
      const { data } = identitySchema.safeParse(value);
      // A child is never older than its parent: this keeps a wrong file from naming a service of the machine.
      if (data && Number(data.startTime) >= Number(agent.startTime)) hints.push(data);
      return value;
    });
  } catch {
    // Absent, or no JSON.
  }
  return hints;
}

/**
 * Finds every process of an amphora. A process belongs to it when it is the agent or one that the agent recorded (pid and start time), is
 * in its control group or network namespace, was started with its folder in environment or command line, is in the session of the agent
 * while that lives, or descends from such a process. A pid that another process uses by now is none of these.
 */
export async function amphoraProcesses(
  hostId: string,
  amphoraId: string,
  paths: InstancePaths,
  names: AmphoraNames | null = null,
): Promise<ProcessStat[]> {
  const agent = readClaim(paths)?.identity ?? null;
  const known = [...(agent ? [agent] : []), ...readHints(paths, agent)].filter(runs);
  // Nobody gets a pid that still names a session, so a live leader proves whose session it is; a dead one proves nothing.
  const session = agent && runs(agent) && readProcess(agent.pid)?.session === agent.pid ? agent.pid : null;
  const members = cgroupPids(hostId, amphoraId);
  const isInNamespace = names ? await membershipOf(names) : () => false;
  const spared = ownAncestors();
  const mention = new RegExp(`${escapeRegExp(paths.folder)}(?![\\w.-])`);

  const all: ProcessStat[] = [];
  const ours = new Set<number>();
  await eachProcess((process) => {
    all.push(process);
    const isOurs =
      members.has(process.pid) ||
      isInNamespace(process.pid) ||
      known.some(({ pid, startTime }) => pid === process.pid && startTime === process.startTime) ||
      (session !== null && process.session === session) ||
      mention.test(commandLine(process.pid)) ||
      hasEnvironment(process.pid, AMPHORA_VARIABLE, paths.folder);
    if (isOurs) ours.add(process.pid);
  });
  for (let before = -1; before !== ours.size; ) {
    before = ours.size;
    for (const { pid, ppid } of all) if (ours.has(ppid)) ours.add(pid);
  }
  return all.filter(({ pid }) => ours.has(pid) && !spared.has(pid));
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
