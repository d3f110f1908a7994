import {
  AMPHORA_CHANNEL,
  type Database,
  EVENT_CHANNEL,
  Events,
  FailoverCandidates,
  Flows,
  ListenerStatistics,
  Liveness,
  OperatingStatuses,
  ShardOwners,
  Trees,
} from '@octavia/db';
import { type Logger, Loop, type Part } from '@octavia/service';
import { AmphoraTable } from './amphora-table.ts';
import type { Clock } from './clock.ts';
import type { HealthConfig } from './config.ts';
import { Flusher } from './flusher.ts';
import { Judge } from './judge.ts';
import { HealthMetrics } from './metrics.ts';
import { Receiver } from './receiver.ts';
import { ReplayGuard } from './replay.ts';
import { Roster } from './roster.ts';
import { ShardMapFeed } from './shard-map.ts';
import { Shards } from './shards.ts';
import { Sight } from './sight.ts';
import { StatusWriter } from './status-writer.ts';
import { decodeReport, encodeReport } from './translate/heartbeat.ts';

export interface HealthOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** host:port where heartbeats for us are to be sent. */
  readonly address: () => string;
  readonly config: Pick<
    HealthConfig,
    | 'heartbeatIntervalMs'
    | 'heartbeatTimeoutMs'
    | 'healthCheckIntervalMs'
    | 'shardLeaseMs'
    | 'flushIntervalMs'
    | 'flowDeadlineMs'
  >;
}

/** Least time between two full comparisons of the amphorae with the database, ms. */
const COMPARE_MS = 10_000;
/** Changes are read, and statuses written, at least this often, ms; notifications make it sooner. */
const FOLLOW_MS = 1_000;
/** Between two such looks at least, ms: what changes by the hundreds is looked at together. */
const REST_MS = 100;

/** The parts of this process that know each other. */
export class Health {
  readonly shards: Shards;
  readonly roster: Roster;
  readonly table: AmphoraTable;
  readonly flusher: Flusher;
  readonly judge: Judge;
  readonly receiver: Receiver;
  readonly shardMap: ShardMapFeed;
  readonly statusWriter: StatusWriter;
  readonly sight: Sight;
  readonly #options: HealthOptions;
  readonly #loops: { keep: Loop; follow: Loop; statuses: Loop; flush: Loop; judge: Loop; map: Loop; awake: Loop };
  readonly #unlisten: (() => void)[] = [];

  constructor(options: HealthOptions) {
    const { db, clock, log, config, address } = options;
    this.#options = options;
    const owners = new ShardOwners();
    const liveness = new Liveness();
    const replay = new ReplayGuard();
    const metrics = new HealthMetrics();
    const events = new Events();
    const timeoutMs = config.heartbeatTimeoutMs;
    const common = { db, clock, log, owners, liveness, replay, metrics, events };
    this.table = new AmphoraTable({ timeoutMs, firstHeartbeatGraceMs: 2 * config.heartbeatIntervalMs });
    metrics.watch(this.table, clock);
    this.sight = new Sight(clock, timeoutMs, Math.max(2 * config.healthCheckIntervalMs, 1_000));
    const known = { ...common, table: this.table, sight: this.sight };
    const roster = new Roster({
      ...known,
      graceMs: config.flushIntervalMs + config.shardLeaseMs,
      compareMs: COMPARE_MS,
      onChange: (id) => this.#statusChanged(id),
    });
    const shards = new Shards({
      ...known,
      address,
      leaseMs: config.shardLeaseMs,
      onGained: (range) => roster.gain(range),
      onLost: (range) => roster.lose(range),
    });
    this.roster = roster;
    this.shards = shards;
    const parts = { ...known, roster, shards };
    this.flusher = new Flusher(parts);
    this.statusWriter = new StatusWriter({
      ...parts,
      trees: new Trees(),
      statuses: new OperatingStatuses(),
      decodeReport,
    });
    this.receiver = new Receiver({
      ...parts,
      statistics: new ListenerStatistics(),
      address,
      encodeReport,
      onReport: (id) => this.#statusChanged(id),
    });
    this.judge = new Judge({
      ...parts,
      candidates: new FailoverCandidates(),
      flows: new Flows(),
      timeoutMs,
      flowDeadlineMs: config.flowDeadlineMs,
      onSilent: (id) => this.#statusChanged(id),
    });
    metrics.watchUnconfirmed(() => this.judge.unconfirmed());
    this.shardMap = new ShardMapFeed(db, owners);
    this.#loops = this.#makeLoops();
  }

  /** What runs, in the order of starting. Start it after the gRPC server, so that the advertised address answers. */
  get parts(): Part[] {
    const { keep, follow, statuses, flush, judge, map, awake } = this.#loops;
    return [this.#listening(), keep, map, follow, statuses, flush, awake, judge, this.#leaving()];
  }

  #makeLoops() {
    const { config, log } = this.#options;
    const loop = (name: string, everyMs: number, work: () => Promise<unknown>, restMs = 0) =>
      new Loop({ name, everyMs, restMs, log, work: async () => void (await work()) });
    return {
      // Three tries within a lease, so that one slow answer does not lose it.
      keep: loop('shard lease', config.shardLeaseMs / 3, () => this.shards.keep()),
      map: loop('shard map', FOLLOW_MS, () => this.shardMap.refresh()),
      follow: loop('amphorae', FOLLOW_MS, () => this.roster.follow(), REST_MS),
      statuses: loop('operating statuses', FOLLOW_MS, () => this.statusWriter.work(), REST_MS),
      flush: loop('liveness', config.flushIntervalMs, () => this.flusher.flush()),
      awake: loop('awake', config.healthCheckIntervalMs, async () => this.sight.tick()),
      judge: loop('silence', config.healthCheckIntervalMs, () => this.judge.search()),
    };
  }

  #statusChanged(loadBalancerId: string): void {
    this.statusWriter.enqueue(loadBalancerId);
    this.#loops.statuses.wake();
  }

  /** Notifications make everything sooner; without them the loops find the same. */
  #listening(): Part {
    const { notifications } = this.#options.db;
    const { follow, map } = this.#loops;
    return {
      name: 'notifications of amphorae and events',
      start: async () => {
        this.#unlisten.push(
          await notifications.listen(AMPHORA_CHANNEL, (id) => {
            if (id === null) this.roster.compareSoon();
            else this.roster.changed(id);
            follow.wake();
          }),
          await notifications.listen(EVENT_CHANNEL, (id) => {
            if (id === null) for (const amphora of this.table.ids()) this.#recheck(amphora);
            else this.#statusChanged(id);
          }),
          await notifications.listen('shard_map', () => map.wake()),
        );
      },
      stop: async () => {
        for (const unlisten of this.#unlisten.splice(0)) unlisten();
      },
    };
  }

  #recheck(amphoraId: string): void {
    const index = this.table.indexOf(amphoraId);
    const known = index === undefined ? undefined : this.table.at(index);
    for (const loadBalancerId of known?.loadBalancerIds ?? []) this.#statusChanged(loadBalancerId);
  }

  /** Stops first: the last news are written, then the shards are free for another. */
  #leaving(): Part {
    return {
      name: 'shards',
      start: async () => {},
      stop: async () => {
        await this.flusher.flush();
        await this.shards.release();
      },
    };
  }
}
