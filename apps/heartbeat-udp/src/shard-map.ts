import { setTimeout as wait } from 'node:timers/promises';
import { HeartbeatServiceClient, type ShardMap } from '@octavia/proto';
import { formatHostPort, type HostPort, type Logger, type Part, rpcClient, type TlsFiles } from '@octavia/service';

/** How long the first map of a stream may take, in milliseconds: a process that was stopped accepts connections and says nothing. */
const FIRST_MAP_MS = 2_000;
/** Waits between two tries, in milliseconds: from the first to the longest, doubling. */
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 1_000;

export interface ShardMapOptions {
  /** Any `health` tells of all shards; they are tried in turn. */
  readonly addresses: readonly HostPort[];
  readonly tls: TlsFiles;
  readonly log: Logger;
}

/**
 * Follows the shard map of whichever `health` answers. The newest map stays in use while none does. There is one stream at a
 * time, and its word is taken as it is: an owner that the map names wrongly says so itself.
 */
export class ShardMapWatch implements Part {
  readonly name = 'shard map';
  readonly #options: ShardMapOptions;
  readonly #follow: (map: ShardMap) => void;
  readonly #stopping = new AbortController();
  #stream = new AbortController();
  #watching: Promise<void> | undefined;

  constructor(options: ShardMapOptions, follow: (map: ShardMap) => void) {
    this.#options = options;
    this.#follow = follow;
  }

  async start(): Promise<void> {
    // Not awaited: heartbeats are taken up before there is an owner.
    this.#watching = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
  }

  /** Asks the next address: an owner does not answer, and who named it may be as dead. Within a retry of its own, it does nothing. */
  renew(): void {
    this.#stream.abort();
  }

  async #watch(): Promise<void> {
    const { addresses, log } = this.#options;
    const { signal } = this.#stopping;
    let failures = 0;
    for (let turn = 0; !signal.aborted; turn++) {
      const address = addresses[turn % addresses.length];
      if (!address) throw new Error('No address of a health service is known.');
      try {
        for await (const map of this.#maps(address)) {
          failures = 0;
          this.#follow(map);
        }
      } catch (error) {
        if (signal.aborted) return;
        // Once per outage: it heals itself.
        if (failures === 0) log.warn({ err: error, address: formatHostPort(address) }, 'no shard map, trying again');
      }
      const waitMs = Math.min(FIRST_RETRY_MS * 2 ** Math.min(failures, 10), LONGEST_RETRY_MS);
      failures += 1;
      await wait(waitMs, undefined, { signal }).catch(() => {});
    }
  }

  async *#maps(address: HostPort): AsyncIterable<ShardMap> {
    const client = rpcClient(HeartbeatServiceClient, address, this.#options.tls);
    const stream = new AbortController();
    this.#stream = stream;
    const late = setTimeout(() => stream.abort(), FIRST_MAP_MS);
    const signal = AbortSignal.any([stream.signal, this.#stopping.signal]);
    try {
      for await (const map of client.watchShardMap({}, { signal })) {
        clearTimeout(late);
        yield map;
      }
    } finally {
      clearTimeout(late);
      client.close();
    }
  }
}
