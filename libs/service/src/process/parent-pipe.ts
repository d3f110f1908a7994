import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';

/** Names the file descriptor of a pipe whose other end the launcher holds as long as it lives. */
export const PARENT_FD_VARIABLE = 'OCTAVIA_PARENT_FD';

/**
 * Calls `onClose` when the launcher has gone, also by `kill -9`: the system closes its end of the pipe then.
 * Does nothing when the environment names no pipe. Takes the variable out of the environment, so that our own
 * children do not mistake one of their descriptors for it.
 * @returns a function that stops watching
 * @throws Error when the descriptor is not open
 */
export function watchParent(env: NodeJS.ProcessEnv, onClose: () => void): () => void {
  const named = env[PARENT_FD_VARIABLE];
  if (!named) return () => {};
  delete env[PARENT_FD_VARIABLE];
  const fd = Number(named);
  try {
    fstatSync(fd);
  } catch (error) {
    throw new Error(`${PARENT_FD_VARIABLE}=${named} is not an open file descriptor.`, { cause: error });
  }
  const pipe = new Socket({ fd, readable: true, writable: false });
  let isWatching = true;
  const close = (): void => {
    if (isWatching) onClose();
    isWatching = false;
  };
  pipe.on('end', close).on('close', close).on('error', close).resume();
  return () => {
    isWatching = false;
    pipe.destroy();
  };
}
