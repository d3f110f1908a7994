import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { checkServerIdentity, connect } from 'node:tls';
import { Client } from 'undici';
import type { WatchedFiles } from '../../watched-files.ts';
import type { AmphoraEndpoint } from '../amphora-driver.ts';
import type { Limits } from './options.ts';

/** Connections that are kept open for a next call; the one that was used longest ago is closed first. */
const MAX_CONNECTIONS = 1000;
/** An answer that is longer is not an agent's. Bytes. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/**
 * One connection per amphora, address and generation of our certificates. Management addresses are used again by later amphorae, so a
 * connection is never shared between ids, and the server has to prove the id, not the address.
 */
export class Connections {
  readonly #files: WatchedFiles;
  readonly #limits: Limits;
  readonly #open = new Map<string, Client>();

  /** @param files client certificate, client key, CA of the agents */
  constructor(files: WatchedFiles, limits: Limits) {
    this.#files = files;
    this.#limits = limits;
  }

  async to(amphora: AmphoraEndpoint): Promise<Client> {
    const { stamp, contents } = await this.#files.read();
    const { amphoraId, lbNetworkIp, agentPort } = amphora;
    const key = [amphoraId, lbNetworkIp, agentPort, stamp].join(' ');
    const known = this.#open.get(key);
    this.#open.delete(key); // So that the map stays ordered by last use.
    const client = known ?? this.#connect(amphora, contents);
    this.#open.set(key, client);
    this.#closeSurplus();
    return client;
  }

  /** The certificate (DER) that the agent shows to a connection of its own, whoever signed it and whenever it ends. Nothing is sent. */
  async certificateOf({ lbNetworkIp, agentPort }: AmphoraEndpoint, signal?: AbortSignal): Promise<Buffer> {
    const [cert, key] = (await this.#files.read()).contents;
    const socket = connect({ host: lbNetworkIp, port: agentPort, cert, key, rejectUnauthorized: false });
    socket.on('error', () => {}); // Also one that comes when nobody waits any more.
    try {
      const limit = AbortSignal.timeout(this.#limits.connectTimeoutMs);
      await once(socket, 'secureConnect', { signal: signal ? AbortSignal.any([signal, limit]) : limit });
      return socket.getPeerCertificate().raw;
    } finally {
      socket.destroy();
    }
  }

  async close(): Promise<void> {
    const clients = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(clients.map((client) => client.destroy()));
  }

  #connect({ amphoraId, lbNetworkIp, agentPort }: AmphoraEndpoint, [cert, key, ca]: readonly string[]): Client {
    const { connectTimeoutMs, readTimeoutMs } = this.#limits;
    const host = isIPv6(lbNetworkIp) ? `[${lbNetworkIp}]` : lbNetworkIp;
    return new Client(`https://${host}:${agentPort}`, {
      connect: {
        cert,
        key,
        ca,
        minVersion: 'TLSv1.2', // Octavia's agents speak exactly this; ours the newest.
        servername: '', // An address is not allowed here, and Octavia sends none either.
        checkServerIdentity: (_, certificate) => checkServerIdentity(amphoraId, certificate),
        timeout: connectTimeoutMs,
      },
      headersTimeout: readTimeoutMs,
      bodyTimeout: readTimeoutMs,
      maxResponseSize: MAX_ANSWER_BYTES,
      pipelining: 1,
    });
  }

  #closeSurplus(): void {
    for (const [key, client] of this.#open) {
      if (this.#open.size <= MAX_CONNECTIONS) return;
      this.#open.delete(key);
      void client.close(); // A call that runs on it ends first.
    }
  }
}
