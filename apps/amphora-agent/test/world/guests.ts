import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { expect } from 'vitest';
import { findMaster, type ProcessIdentity } from '../../src/processes.ts';
import type { Reply } from './client.ts';
import { haproxyText, type TextOptions } from './haproxy-text.ts';
import { randomLoopback, type World } from './world.ts';

/** The amphora that it is on. */
type Host = Pick<World, 'amphoraId' | 'basePath' | 'socketPath' | 'call'>;

type Options = Partial<TextOptions> & { readonly maxconn?: number };

/** One of several load balancers of an amphora. It answers with its name. */
export interface Guest {
  readonly lb: string;
  readonly listener: string;
  readonly vip: string;
  readonly folder: string;
  /** Its configuration, which is on the command lines of its processes. */
  readonly file: string;
  upload(options?: Options): Promise<Reply>;
  /** Uploads and reloads, and expects both to succeed. */
  serve(options?: Options): Promise<void>;
  /** @throws Error when it does not run */
  master(): ProcessIdentity;
}

/** Load balancers of an amphora, each on a VIP of 127.0.0.0/8. */
export function guestsOf<const N extends readonly string[]>(w: Host, ...names: N): { [I in keyof N]: Guest } {
  return names.map((name) => guestOf(w, name)) as { [I in keyof N]: Guest };
}

/** A load balancer of an amphora, on this VIP. */
export function guestOf(w: Host, answer: string, vip = randomLoopback()): Guest {
  const [lb, listener] = [randomUUID(), randomUUID()];
  const folder = join(w.basePath, lb);
  const file = join(folder, 'haproxy.cfg');
  const { socketPath, basePath } = w;
  const upload = ({ maxconn = 1000, ...options }: Options = {}) => {
    const text = haproxyText({ lb, listener, socketPath, basePath, address: vip, port: 8080, answer, ...options });
    const body = text.replaceAll('maxconn 1000', `maxconn ${maxconn}`);
    return w.call('PUT', `/1.0/loadbalancer/${w.amphoraId}/${lb}/haproxy`, body);
  };
  return {
    lb,
    listener,
    vip,
    folder,
    file,
    upload,
    async serve(options) {
      expect(await upload(options)).toMatchObject({ status: 202 });
      expect(await w.call('PUT', `/1.0/loadbalancer/${lb}/reload`)).toMatchObject({ status: 202 });
    },
    master() {
      const found = findMaster(file);
      if (!found) throw new Error(`HAProxy of ${answer} does not run`);
      return { pid: found.pid, startTime: found.startTime };
    },
  };
}
