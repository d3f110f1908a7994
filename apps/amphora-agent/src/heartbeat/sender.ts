import { randomUUID } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import type { HeartbeatTarget, MutableConfig } from '../config.ts';
import { messageOf } from '../errors.ts';
import type { LoadBalancer } from '../haproxy/load-balancer.ts';
import type { Counters, Totals } from './counters.ts';
import { sealHeartbeat } from './envelope.ts';
import {
  heartbeatMessage,
  type ListenerReport,
  listenerReports,
  type PoolReport,
  poolReports,
  totalsOf,
} from './message.ts';
import { readStatistics, type Statistics } from './statistics.ts';

/** HAProxy answers within milliseconds. One that does not is left out of the heartbeat rather than delaying the next one. */
const MAX_STATISTICS_MS = 500;
const MIN_STATISTICS_MS = 50;

type Settings = Pick<MutableConfig, 'heartbeatIntervalMs' | 'heartbeatKey' | 'heartbeatTargets'>;

export interface SenderParts {
  readonly amphoraId: string;
  readonly counters: Counters;
  readonly log: Logger;
  loadBalancers(): readonly LoadBalancer[];
  /** Whether none may be sent: an amphora of a pair without VRRP is to be replaced. */
  mustKeepSilent(): boolean;
}

/**
 * Sends heartbeats: one at the start, one on each beat of the interval, and one whenever `sendSoon` is called. Each goes to the next
 * controller of the list. Nothing but a dead keepalived stops it: what cannot be asked is left out, what cannot be sent is lost.
 */
export class HeartbeatSender {
  readonly #parts: SenderParts;
  readonly #boot = randomUUID();
  readonly #sockets = new Map<4 | 6, Socket>();
  #settings: Settings;
  #seq = 0;
  #turn = 0;
  #timer: NodeJS.Timeout | undefined;
  #beat = 0;
  #isSending = false;
  #isWanted = false;
  #isStopped = false;

  constructor(settings: Settings, parts: SenderParts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  start(): void {
    this.#beat = performance.now();
    this.sendSoon();
    this.#schedule();
  }

  /** Takes new settings; a changed interval counts from now. */
  configure(settings: Settings): void {
    this.#settings = settings;
    clearTimeout(this.#timer);
    this.start();
  }

  /** Sends one as soon as the one that is under way, if any, is gone. Calls meanwhile are answered by one heartbeat. */
  sendSoon(): void {
    this.#isWanted = true;
    if (!this.#isSending && !this.#isStopped) void this.#drain();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  /** Beats are multiples of the interval from the start, so that lateness does not add up. */
  #schedule(): void {
    if (this.#isStopped) return;
    const { heartbeatIntervalMs } = this.#settings;
    const now = performance.now();
    const missed = Math.max(0, Math.floor((now - this.#beat) / heartbeatIntervalMs));
    this.#beat += (missed + 1) * heartbeatIntervalMs;
    this.#timer = setTimeout(() => {
      this.sendSoon();
      this.#schedule();
    }, this.#beat - now);
  }

  async #drain(): Promise<void> {
    this.#isSending = true;
    while (this.#isWanted && !this.#isStopped) {
      this.#isWanted = false;
      await this.#sendOne().catch((error) => {
        this.#parts.log.warn({ reason: messageOf(error) }, 'heartbeat could not be sent');
      });
    }
    this.#isSending = false;
  }

  async #sendOne(): Promise<void> {
    if (this.#parts.mustKeepSilent()) return;
    const { heartbeatKey, heartbeatTargets } = this.#settings;
    // Counted even when it is lost, so that the controller can see how many it missed.
    const seq = this.#seq++;
    const target = heartbeatTargets[this.#turn++ % Math.max(1, heartbeatTargets.length)];
    if (!target) return;
    const { listeners, pools } = await this.#report();
    const message = heartbeatMessage({
      id: this.#parts.amphoraId,
      seq,
      listeners,
      pools,
      boot: this.#boot,
      time: Date.now(),
      monotonic: Math.round(performance.now()),
    });
    await this.#send(sealHeartbeat(message, heartbeatKey), target);
  }

  async #report() {
    const asked = this.#parts.loadBalancers().map((lb) => this.#ask(lb));
    const answers = (await Promise.all(asked)).filter((answer) => answer !== null);
    const deltas = this.#advance(answers.map(({ statistics }) => statistics));
    const listeners: Record<string, ListenerReport> = {};
    const pools: Record<string, PoolReport> = {};
    for (const answer of answers) {
      Object.assign(listeners, listenerReports(answer.statistics.rows, deltas));
      Object.assign(pools, answer.pools);
    }
    return { listeners, pools };
  }

  /** What a load balancer's HAProxy reports; null when it does not run, or does not answer. */
  async #ask(lb: LoadBalancer) {
    lb.noticeDeath();
    const socket = lb.liveStatsSocket;
    if (socket === null) return null;
    try {
      const statistics = await readStatistics(socket, this.#patienceMs);
      return { statistics, pools: poolReports(statistics.rows) };
    } catch (error) {
      const context = { 'octavia.load_balancer.id': lb.id, reason: messageOf(error) };
      this.#parts.log.warn(context, 'haproxy gives no statistics; its listeners are left out of the heartbeat');
      return null;
    }
  }

  get #patienceMs(): number {
    return Math.min(MAX_STATISTICS_MS, Math.max(MIN_STATISTICS_MS, this.#settings.heartbeatIntervalMs / 2));
  }

  #advance(statistics: readonly Statistics[]): Record<string, Totals> {
    const { counters, log } = this.#parts;
    const deltas = counters.advance(Object.assign({}, ...statistics.map(totalsOf)));
    try {
      counters.save();
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'stats_counters.json could not be written');
    }
    return deltas;
  }

  async #send(datagram: Buffer, { host, port }: HeartbeatTarget): Promise<void> {
    const address = isIP(host) === 0 ? (await lookup(host)).address : host;
    if (this.#isStopped) return;
    const socket = this.#socket(isIP(address) === 6 ? 6 : 4);
    await new Promise<void>((resolve, reject) => {
      socket.send(datagram, port, address, (error) => (error ? reject(error) : resolve()));
    });
  }

  #socket(family: 4 | 6): Socket {
    const open = this.#sockets.get(family);
    if (open) return open;
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    socket.on('error', (error) => {
      // For example no network yet. The next heartbeat tries with a new socket.
      this.#parts.log.warn({ reason: error.message }, 'heartbeat socket failed');
      this.#sockets.delete(family);
      socket.close();
    });
    this.#sockets.set(family, socket);
    return socket;
  }
}
