import { posix } from 'node:path';
import { AmphoraBuildError, AmphoraComputeError, NotImplemented } from '../errors.ts';
import {
  type AmphoraType,
  type BuildRequest,
  type FileContent,
  MAX_CONFIG_DRIVE_FILE_BYTES,
  MAX_CONFIG_DRIVE_FILES,
} from './compute-driver.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether the text is a UUID in lower case, as our ids are. Ids become names of files, so nothing else is let through. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

export function byteLength(content: FileContent): number {
  return typeof content === 'string' ? Buffer.byteLength(content) : content.byteLength;
}

/**
 * Checks what every compute driver promises to refuse, and names every fault at once.
 * @param types that the driver can build; absent in the request: the first
 * @throws AmphoraBuildError, NotImplemented
 */
export function checkBuildRequest(driver: string, request: BuildRequest, types: readonly AmphoraType[]): void {
  const { amphoraId, amphoraType, configDriveFiles = {} } = request;
  if (amphoraType && !types.includes(amphoraType)) throw new NotImplemented(driver, `amphorae of type ${amphoraType}`);
  const faults = isUuid(amphoraId) ? [] : [`amphora id ${JSON.stringify(amphoraId)} is not a lower-case UUID`];
  faults.push(...faultsOf(configDriveFiles));
  if (faults.length > 0) {
    throw new AmphoraBuildError(`Amphora ${amphoraId} cannot be built: ${faults.join('; ')}.`, { amphoraId });
  }
}

/** Checks files for an instance that there is. @throws AmphoraComputeError naming every fault */
export function checkFiles(amphoraId: string, configDriveFiles: NonNullable<BuildRequest['configDriveFiles']>): void {
  const faults = faultsOf(configDriveFiles);
  if (faults.length > 0) {
    throw new AmphoraComputeError(`Amphora ${amphoraId} cannot have these files: ${faults.join('; ')}.`, { amphoraId });
  }
}

function faultsOf(configDriveFiles: NonNullable<BuildRequest['configDriveFiles']>): string[] {
  const faults: string[] = [];
  const files = Object.entries(configDriveFiles);
  if (files.length > MAX_CONFIG_DRIVE_FILES) {
    faults.push(`${files.length} config-drive files are more than ${MAX_CONFIG_DRIVE_FILES}`);
  }
  for (const [path, content] of files) {
    const bytes = byteLength(content);
    if (!posix.isAbsolute(path) || posix.normalize(path) !== path || path.endsWith('/') || path.includes('\0')) {
      faults.push(`config-drive file ${JSON.stringify(path)} has no absolute, normal path`);
    }
    if (bytes > MAX_CONFIG_DRIVE_FILE_BYTES) {
      faults.push(`config-drive file ${path} has ${bytes} bytes, more than ${MAX_CONFIG_DRIVE_FILE_BYTES}`);
    }
  }
  return faults;
}
