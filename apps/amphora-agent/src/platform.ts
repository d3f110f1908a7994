import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readIfThere, replaceFile } from './files.ts';

/** Linux capabilities by bit. Source: linux/capability.h. */
const CAP_SETGID = 6n;
const CAP_SETUID = 7n;
const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;

/** The user that HAProxy can become: `wanted` when this process may change its user and there is such a user; else null. */
export function haproxyUser(wanted: string): string | null {
  if (process.geteuid?.() !== 0) return null;
  return hasCapabilities(CAP_SETGID, CAP_SETUID) && hasName('/etc/passwd', wanted) ? wanted : null;
}

/** keepalived's command when it is there and this process may let it change addresses and send adverts; else null. */
export function usableKeepalived(command: string): string | null {
  return hasCapabilities(CAP_NET_ADMIN, CAP_NET_RAW) && existsSync(command) ? command : null;
}

function hasCapabilities(...wanted: readonly bigint[]): boolean {
  const status = readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return wanted.every((bit) => (effective >> bit) & 1n);
}

/**
 * Writes the file that gives HAProxy its group, and returns its path; null when HAProxy keeps its user, or no known group exists. The
 * controller never writes a group into a configuration: its name differs between distributions.
 */
export function writeUserGroupFile(basePath: string, user: string | null): string | null {
  const group = ['nogroup', 'haproxy', 'nobody'].find((name) => hasName('/etc/group', name));
  if (user === null || group === undefined) return null;
  const file = join(basePath, 'haproxy-default-user-group.conf');
  replaceFile(file, `global\n    group ${group}\n`, 0o644);
  return file;
}

function hasName(file: string, name: string): boolean {
  const content = readIfThere(file)?.toString('utf8') ?? '';
  return content.split('\n').some((line) => line.startsWith(`${name}:`));
}
