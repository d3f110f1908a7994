import { createHash } from 'node:crypto';

/**
 * HAProxy's name for an amphora in its peers section (`-L`). The controller computes the same; if they differ, HAProxy drops the
 * section. Base64 of SHA-1 of the id with `+` as `_` and `/` as `-`, the opposite of URL-safe base64; a leading `-` becomes `x`.
 */
export function peerName(amphoraId: string): string {
  const base64 = createHash('sha1').update(amphoraId).digest('base64');
  return base64.replaceAll('+', '_').replaceAll('/', '-').replace(/^-/, 'x').replaceAll('=', '');
}
