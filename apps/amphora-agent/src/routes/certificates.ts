import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { RequestError } from '../errors.ts';
import { readIfThere, replaceFile } from '../files.ts';
import type { Route } from '../http/router.ts';
import { isUuid } from '../uuid.ts';
import { md5 } from './load-balancer.ts';

/** A bundle with a long chain has 20 kB, a list of revoked certificates may have some hundred. */
const MAX_CERTIFICATE_BYTES = 4 * 1024 * 1024;

/** Names that the controller uses are `<sha1>.pem` and `<uuid>.pem`. */
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.pem$/;

/** Files that a configuration names: certificates, lists of them, authorities, revocations. */
export function certificateRoutes(certificatesPath: string): Route[] {
  const path = '/1.0/loadbalancer/:lb/certificates/:file';
  const fileOf = ({ lb = '', file = '' }: Readonly<Record<string, string>>): string => {
    if (!isUuid(lb) || !FILE_NAME.test(file)) throw new RequestError(400, 'Filename has wrong format');
    return join(certificatesPath, lb, file);
  };

  return [
    {
      method: 'PUT',
      path,
      maxBodyBytes: MAX_CERTIFICATE_BYTES,
      handle({ params, body }) {
        const file = fileOf(params);
        mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 });
        replaceFile(file, body);
        return { status: 200, body: { message: 'OK' }, etag: md5(body) };
      },
    },
    {
      method: 'GET',
      path,
      maxBodyBytes: 0,
      handle({ params }) {
        const content = readIfThere(fileOf(params));
        if (!content)
          throw new RequestError(404, 'Certificate Not Found', `No certificate with filename: ${params.file}`);
        return { status: 200, body: { md5sum: md5(content) }, etag: md5(content) };
      },
    },
    {
      method: 'DELETE',
      path,
      maxBodyBytes: 0,
      handle({ params }) {
        rmSync(fileOf(params), { force: true });
        return { status: 200, body: { message: 'OK' } };
      },
    },
  ];
}
