import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/** Constant: PostgreSQL is on the same network, and the first to come back should be heard at once. Source: tech-notes, own queue. */
const RECONNECT_MS = 200;

/** Payload of a notification, or null: the connection was lost, so look for yourself. */
export type NotificationHandler = (payload: string | null) => void;

/**
 * One connection that listens. A notification is a hint, never the only way to learn of something: it is lost while the
 * connection is down, which handlers are told by a null once it is back.
 */
export class Notifications {
  readonly #url: string;
  readonly #applicationName: string;
  readonly #handlers = new Map<string, Set<NotificationHandler>>();
  #client: pg.Client | null = null;
  #stopped = true;

  constructor(url: string, applicationName: string) {
    this.#url = url;
    this.#applicationName = applicationName;
  }

  async start(): Promise<void> {
    this.#stopped = false;
    await this.#connect();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#client?.end().catch(() => {});
    this.#client = null;
  }

  /** Calls `handler` for each notification of `channel` (a plain identifier). Returns how to end that. */
  async listen(channel: string, handler: NotificationHandler): Promise<() => void> {
    const handlers = this.#handlers.get(channel) ?? new Set();
    handlers.add(handler);
    if (handlers.size === 1) {
      this.#handlers.set(channel, handlers);
      // When this fails the connection is being replaced, and the new one listens to every channel.
      await this.#client?.query(`LISTEN ${pg.escapeIdentifier(channel)}`).catch(() => {});
    }
    return () => {
      handlers.delete(handler);
    };
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: this.#applicationName,
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
    });
    client.on('error', () => {});
    await client.connect();
    client.on('notification', ({ channel, payload }) => this.#deliver(channel, payload ?? ''));
    client.on('end', () => void this.#reconnect(client));
    for (const channel of this.#handlers.keys()) await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
    this.#client = client;
  }

  async #reconnect(lost: pg.Client): Promise<void> {
    if (this.#client === lost) this.#client = null;
    while (!this.#stopped && !this.#client) {
      await sleep(RECONNECT_MS);
      await this.#connect().catch(() => {});
    }
    if (!this.#stopped) for (const channel of this.#handlers.keys()) this.#deliver(channel, null);
  }

  #deliver(channel: string, payload: string | null): void {
    for (const handler of this.#handlers.get(channel) ?? []) handler(payload);
  }
}
