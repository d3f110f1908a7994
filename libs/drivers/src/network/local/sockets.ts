import { readdir, readFile, readlink } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { endianness } from 'node:os';
import { join } from 'node:path';
import { amphoraProcesses } from '../../compute/local/amphora-processes.ts';
import { layoutOf, pathsOf } from '../../compute/local/options.ts';
import { readIfThere } from '../../files.ts';

/**
 * Processes of an amphora that have a TCP socket on one of the addresses: they listen there, or still answer a client. Pids; one whose
 * sockets may not be seen counts when somebody has such a socket.
 */
export async function pidsOn(
  addresses: readonly string[],
  amphoraId: string,
  dataFolder: string,
): Promise<readonly number[]> {
  const wanted = await socketsOn(addresses);
  if (wanted.size === 0) return [];
  const layout = layoutOf({ dataFolder, runtimeFolder: dataFolder }); // Sockets of agents are no matter here.
  const hostId = (await readIfThere(layout.hostIdFile))?.trim() ?? '-';
  const processes = await amphoraProcesses(hostId, amphoraId, pathsOf(layout, amphoraId));
  const found: number[] = [];
  for (const { pid } of processes) if (await hasOneOf(wanted, pid)) found.push(pid);
  return found;
}

/** Inodes of the sockets whose own end has one of the addresses. */
async function socketsOn(addresses: readonly string[]): Promise<ReadonlySet<string>> {
  const wanted = new Set(addresses.filter(isIPv4).map(asKernel));
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1);
  const inodes = new Set<string>();
  for (const line of lines) {
    // Number, own address, other address, state, queues, timer, retries, user, time-out, inode. Source: proc_net_tcp of Linux.
    const [, own = '', , , , , , , , inode = '0'] = line.trim().split(/\s+/);
    if (inode !== '0' && wanted.has(own.split(':')[0] ?? '')) inodes.add(inode); // 0: nobody's any more.
  }
  return inodes;
}

/** An address as the kernel shows it: the hexadecimal number that its bytes are on this machine. */
function asKernel(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).toUpperCase().padStart(2, '0'));
  return (endianness() === 'LE' ? bytes.reverse() : bytes).join('');
}

async function hasOneOf(inodes: ReadonlySet<string>, pid: number): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  try {
    const targets = await Promise.all(
      (await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => '')), // Closed meanwhile.
    );
    return targets.some((target) => inodes.has(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? ''));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'; // It ended; else it is not ours to see.
  }
}
