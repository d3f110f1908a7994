import { readFile } from 'node:fs/promises';
import type { Part } from './run.ts';

/**
 * The last part of a process that parses foreign input: gives root away once everything is open, so that a fault in
 * parsing is not root's. Without `user`, or when the process is not root, it does nothing.
 * @throws Error when there is no such user
 */
export function runAs(user: string): Part {
  return {
    name: 'run as',
    start: async () => {
      if (!user || process.getuid?.() !== 0) return;
      const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
      const [, , uid, gid] = lines.find(([name]) => name === user) ?? [];
      if (uid === undefined || gid === undefined) {
        throw new Error(
          `RUN_AS names the user ${user}, who does not exist on this machine. Make him, or leave it out.`,
        );
      }
      // The user last: without root the groups could not be given away any more.
      process.setgroups?.([]);
      process.setgid?.(Number(gid));
      process.setuid?.(Number(uid));
    },
    stop: async () => {},
  };
}
