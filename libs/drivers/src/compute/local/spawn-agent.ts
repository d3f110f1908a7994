import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { AmphoraBuildError } from '../../errors.ts';
import type { InstancePaths } from './options.ts';

/** Marks every process of an amphora, by inheritance: its value is the amphora's folder. */
export const AMPHORA_VARIABLE = 'OCTAVIA_AMPHORA_FOLDER';

/** What agents inherit of our environment; the rest may hold secrets. Names ending in `_` are prefixes. */
const INHERITED = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'LOG_LEVEL', 'OTEL_'];

/**
 * Runs in the process that becomes the agent. It claims the instance (`ln` fails if somebody did, whoever started it and however late it
 * wakes up) with its own identity, before the agent runs, so that no crash of ours can lose it; the claim appears whole, because one
 * without an identity is that of an agent that has ended. Then it looks whether the amphora was fenced meanwhile. A fence writes its mark first and kills then: one of the two always sees the other.
 */
const SCRIPT = `
umask 077
read -r x x x x x x x x x x x x x x x x x x x x x start x </proc/$$/stat || exit 74
read -r boot </proc/sys/kernel/random/boot_id || exit 74
{ echo "$$ $start $boot" >"$1.$$"; } 2>/dev/null || exit 75
ln "$1.$$" "$1" 2>/dev/null || { rm -f "$1.$$"; exit 75; }
rm -f "$1.$$"
[ -e "$2" ] && exit 76
n=$3
shift 3
while [ "$n" -gt 0 ]; do { echo "$$" >"$1"; } 2>/dev/null; n=$((n - 1)); shift; done
exec "$@"
`;

export interface AgentCommand {
  readonly nodePath: string;
  readonly agentBundlePath: string;
  readonly amphoraId: string;
  readonly paths: InstancePaths;
  /** Files of control groups that take pids. */
  readonly cgroupProcs: readonly string[];
  /** File of the network namespace in which it runs; null: that of the machine. */
  readonly networkNamespace: string | null;
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * Starts the agent in a session of its own, so that it outlives us. Returns as soon as the system has started the process.
 * @throws AmphoraBuildError
 */
export async function spawnAgent(command: AgentCommand): Promise<void> {
  const { paths, amphoraId } = command;
  const output = await open(paths.output, 'a', 0o600);
  try {
    const child = spawn('/bin/sh', shellArguments(command), {
      cwd: '/',
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
      env: { ...inherited(), ...command.environment, [AMPHORA_VARIABLE]: paths.folder },
    });
    await once(child, 'spawn');
    child.unref();
  } catch (error) {
    throw new AmphoraBuildError(`The agent of amphora ${amphoraId} cannot be started: ${(error as Error).message}.`, {
      amphoraId,
    });
  } finally {
    await output.close();
  }
}

function shellArguments(command: AgentCommand): string[] {
  const { nodePath, agentBundlePath, amphoraId, paths, cgroupProcs, networkNamespace } = command;
  const agent = ['--amphora-id', amphoraId, '--data-folder', paths.folder, '--config-file', paths.config];
  return [
    '-c',
    SCRIPT,
    'octavia-amphora',
    paths.claim,
    paths.mark,
    String(cgroupProcs.length),
    ...cgroupProcs,
    // It becomes the agent in the same process, so that the claim stays true.
    ...(networkNamespace === null ? [] : ['nsenter', `--net=${networkNamespace}`, '--']),
    nodePath,
    agentBundlePath,
    ...agent,
  ];
}

function inherited(): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    const isWanted = INHERITED.some((wanted) => (wanted.endsWith('_') ? name.startsWith(wanted) : name === wanted));
    if (isWanted && value !== undefined) found[name] = value;
  }
  return found;
}
