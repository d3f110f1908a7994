import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '@octavia/db';
import { DomainError, Unavailable } from '@octavia/domain';
import type { Flow, Step, StepContext } from '../src/engine/flow.ts';

/**
 * Flows for tests of the engine. What a step does is in the flow's input; the effects it has on the outside world are rows of
 * `effect`, written on a connection that no epoch guards; gates are rows of `gate`.
 */
export interface Script {
  readonly script: Readonly<Record<string, Behaviour>>;
}
/**
 * `wait`: until the gate of its name opens. `ignore`: the same, deaf to its signal. `unavailable`: so long as the gate is shut.
 * `database`: as long, it is the database that is away, as the step sees it.
 */
export type Behaviour = 'wait' | 'ignore' | 'unavailable' | 'database' | 'fail' | 'transaction';
/** Reason of the error of a step that is `unavailable`. */
export const AWAY = 'AWAY';
export interface TestParts {
  readonly world: Outside;
}
type State = Script & Record<string, unknown>;
type Context = StepContext<TestParts>;

class Broken extends DomainError {
  readonly kind = 'state';
  readonly reason = 'BROKEN';
}

export class Outside {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  static async prepare(db: Database): Promise<void> {
    await db.reader.query(`CREATE TABLE IF NOT EXISTS gate (name text PRIMARY KEY);
      CREATE TABLE IF NOT EXISTS effect (id bigint GENERATED ALWAYS AS IDENTITY, flow_id uuid, what text, epoch integer)`);
  }

  async note(what: string, { flow, fence }: Pick<Context, 'flow' | 'fence'>): Promise<void> {
    await this.#db.reader.query('INSERT INTO effect (flow_id, what, epoch) VALUES ($1, $2, $3)', [
      flow.id,
      what,
      fence.epoch,
    ]);
  }

  async isOpen(gate: string): Promise<boolean> {
    return (await this.#db.reader.query('SELECT 1 FROM gate WHERE name = $1', [gate])).length > 0;
  }

  async waitFor(gate: string, signal?: AbortSignal): Promise<void> {
    while (!(await this.isOpen(gate).catch(() => false))) await sleep(10, undefined, signal ? { signal } : {});
  }
}

async function behave(name: string, { script }: State, { world, signal, transaction, flow }: Context): Promise<void> {
  const behaviour = script[name];
  if (behaviour === 'wait') await world.waitFor(name, signal);
  if (behaviour === 'ignore') await world.waitFor(name);
  if (behaviour === 'fail') throw new Broken(`${name} is broken`);
  if (behaviour === 'unavailable' && !(await world.isOpen(name))) {
    throw new Unavailable(AWAY, `what ${name} needs is away`);
  }
  if (behaviour === 'database' && !(await world.isOpen(name))) {
    throw Object.assign(new Error('the database system is starting up'), { code: '57P03' });
  }
  if (behaviour === 'transaction') {
    await world.waitFor(name);
    await transaction((tx) =>
      tx.query(`INSERT INTO effect (flow_id, what) VALUES ($1, 'in a transaction')`, [flow.id]),
    );
  }
}

function step(name: string): Step<State, TestParts> {
  return {
    name,
    async do(state, context) {
      await context.world.note(`do ${name}`, context);
      await behave(name, state, context);
      return { [name]: 'done' };
    },
  };
}

function undoable(name: string): Step<State, TestParts> {
  return {
    ...step(name),
    async undo(state, context) {
      await context.world.note(`undo ${name}`, context);
      await behave(`undo ${name}`, state, context);
    },
  };
}

const note = (name: string): Flow<State, TestParts> => ({
  name,
  version: 1,
  steps: [step('one'), undoable('two'), undoable('three')],
  async settle(tx, { flow, outcome, state }) {
    if (state.script.settle === 'fail') {
      await tx.query(`INSERT INTO effect (flow_id, what) VALUES ($1, 'in a settlement that fails')`, [flow.id]);
      throw new TypeError('a bug of ours');
    }
    await tx.query('INSERT INTO effect (flow_id, what) VALUES ($1, $2)', [flow.id, `settled ${outcome}`]);
    return null;
  },
});

export const testFlows: readonly Flow<State, TestParts>[] = [
  note('test.build'),
  { ...note('test.delete'), isStoppable: false },
  { ...note('test.failover'), steps: [step('one')] },
  { ...note('test.push'), steps: [step('one')] },
  {
    ...note('test.await'),
    steps: [step('one'), { ...undoable('two'), awaits: { [AWAY]: 'somebody to bring it back' } }],
  },
  { ...note('test.build'), version: 2, steps: [step('zero'), undoable('two')] },
];
