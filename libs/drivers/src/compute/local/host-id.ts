import { randomUUID } from 'node:crypto';
import { ComputeUnavailable } from '../../errors.ts';
import { readIfThere, writeOnce } from '../../files.ts';
import { type LocalComputeOptions, layoutOf } from './options.ts';

/**
 * Id of a local compute host: as configured, else what the data folder says; made at the first call.
 * @throws ComputeUnavailable when the folder belongs to another host
 */
export async function openHostId(
  options: Pick<LocalComputeOptions, 'dataFolder' | 'runtimeFolder' | 'hostId'>,
): Promise<string> {
  const { hostIdFile } = layoutOf(options);
  await writeOnce(hostIdFile, `${options.hostId ?? randomUUID()}\n`);
  const kept = (await readIfThere(hostIdFile))?.trim() ?? '';
  const { hostId = kept, dataFolder } = options;
  if (hostId !== kept || !/^[\w.-]+$/.test(kept)) {
    throw new ComputeUnavailable(
      `Data folder ${dataFolder} belongs to compute host ${kept}, not to ${hostId}. Name the right folder, or the right id.`,
      { dataFolder, kept, hostId },
    );
  }
  return kept;
}
