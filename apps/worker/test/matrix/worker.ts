/**
 * A worker process with traps in its flows, for the crash matrix. It is told what to do over its IPC channel; the descriptor after that
 * one hears of traps.
 */
import { Database } from '@octavia/db';
import { type Drivers, type DriversConfig, openDrivers } from '@octavia/drivers';
import { logger } from '@octavia/service';
import { FlowRunner } from '../../src/engine/flow-runner.ts';
import { definitions } from '../../src/flows/index.ts';
import { openWorld } from '../../src/open-world.ts';
import type { World } from '../../src/world.ts';
import { type Trap, Traps } from './traps.ts';

export interface Opening {
  readonly databaseUrl: string;
  readonly drivers: DriversConfig;
  readonly leaseMs: number;
  readonly agent: { readonly controllers: readonly { host: string; port: number }[]; readonly heartbeatKey: string };
}

/** What a worker is told. Each is answered once it is done. */
export interface Commands {
  /** Connects to a world, which takes the place of the one before. */
  open(opening: Opening): Promise<void>;
  /** Claims flows from now on. */
  run(): Promise<void>;
  /** Claims none any more; answered once none runs. */
  rest(): Promise<void>;
  arm(traps: readonly Trap[]): Promise<void>;
  /** Every point that was passed since. */
  seen(): Promise<Traps['seen']>;
  /** Leaves the point where it was held. */
  goOn(): Promise<void>;
  close(): Promise<void>;
}

/** The same in every process, so that one reads what another wrote. */
const SECRETS_KEY = `matrix:${Buffer.alloc(32, 7).toString('base64')}`;
const LIMITS = { concurrency: 8, failoverSlots: 2, drainMs: 5_000 };
const POOL_SIZE = 5;
const TELL_FD = 4;

interface Opened {
  readonly db: Database;
  readonly leaseDb: Database;
  readonly drivers: Drivers;
  readonly leaseMs: number;
  readonly parts: World;
}

const traps = new Traps(TELL_FD);
let opened: Opened | null = null;
let runner: FlowRunner<World> | null = null;

const commands: Commands = {
  async open({ databaseUrl: url, drivers: config, leaseMs, agent }) {
    await commands.close();
    const db = new Database({ url, applicationName: 'matrix', poolSize: POOL_SIZE, idleInTransactionMs: leaseMs });
    const leaseDb = new Database({ url, applicationName: 'matrix leases', poolSize: 1 });
    await Promise.all([db.start(), leaseDb.start()]);
    const drivers = openDrivers(config);
    const parts = openWorld(traps.drivers(drivers), {
      secretsKeys: SECRETS_KEY,
      agent: { ...agent, heartbeatIntervalMs: 1_000 },
      amphora: { computeFlavor: '', imageTag: '', zone: '' },
      vipRestMs: 60_000,
      colocationLimit: 1,
      buildSlots: 8,
      flows: { deadlineMs: 30_000, mendMs: 1_000 },
    });
    opened = { db, leaseDb, drivers, leaseMs, parts };
  },
  async run() {
    if (!opened || runner) throw new Error('A worker runs once it is open, and once.');
    const { db, leaseDb, leaseMs, parts } = opened;
    runner = new FlowRunner({
      db,
      leaseDb,
      definitions: traps.flows(definitions),
      parts,
      limits: { ...LIMITS, leaseMs },
      log: logger('matrix'),
    });
    await runner.start();
  },
  async rest() {
    const resting = runner;
    runner = null;
    await resting?.stop();
  },
  async arm(armed) {
    traps.arm(armed);
  },
  async seen() {
    return traps.seen;
  },
  async goOn() {
    traps.goOn();
  },
  async close() {
    await commands.rest();
    const closing = opened;
    opened = null;
    await Promise.all([closing?.db.stop(), closing?.leaseDb.stop(), closing?.drivers.close()]);
  },
};

process.on('message', async ({ id, name, args }: { id: number; name: keyof Commands; args: never[] }) => {
  try {
    const result = await (commands[name] as (...args: never[]) => Promise<unknown>)(...args);
    process.send?.({ id, result });
  } catch (error) {
    process.send?.({ id, error: String(error instanceof Error ? error.stack : error) });
  }
});
process.on('disconnect', () => process.exit());
process.send?.({ id: 0 });
