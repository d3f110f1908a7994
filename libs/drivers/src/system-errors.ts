import { DomainError, type Unavailable } from '@octavia/domain';

/**
 * Runs the work of a driver that keeps its state in files, and gives what the system refused (a full disk, a folder that may not be
 * written) the driver's own name: the flow tries again, and a person reads which file it was.
 */
export async function namingSystemErrors<T>(
  name: (message: string, details: Record<string, string>, options: ErrorOptions) => Unavailable,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof DomainError || !isOfSystem(cause)) throw cause;
    const { code = '' } = cause;
    throw name(`The machine does not let us: ${cause.message}. ${ADVICE[code] ?? ''}`.trim(), { code }, { cause });
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'Free space on that disk.',
  EDQUOT: 'Free space within the quota.',
  EACCES: 'Give this user the right to that path.',
  EPERM: 'Give this user the right to that path.',
  EROFS: 'Mount that file system writable.',
  EMFILE: 'Raise the limit on open files.',
};

function isOfSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}
