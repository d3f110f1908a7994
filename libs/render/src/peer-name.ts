import { createHash } from 'node:crypto';

/**
 * Name of an amphora among HAProxy's peers. The agent computes the same from the id in the upload's URL and starts HAProxy
 * with it: where they differ HAProxy drops the peers section. Not URL-safe base64: `+` becomes `_` and `/` becomes `-`.
 */
export function peerName(amphoraId: string): string {
  const base64 = createHash('sha1').update(amphoraId, 'utf8').digest('base64');
  return base64.replaceAll('+', '_').replaceAll('/', '-').replaceAll('=', '').replace(/^-/, 'x');
}
