import type { Kind } from './outside.ts';
import { type Cell, cellsOf, core, type Fault, type GROUPS, type Passage, titleOf } from './plan.ts';
import type { Scenario } from './scenarios.ts';
import { type Outcome, Slot } from './slot.ts';
import { Workers } from './workers.ts';

export interface MatrixOptions {
  readonly scenarios: readonly Scenario[];
  readonly kind: Kind;
  /** Worlds at once. */
  readonly slots: number;
  /** Null: every cell. Else one of each group. */
  readonly sample: { readonly seed: number; readonly group: keyof typeof GROUPS } | null;
  /** Cells to run, by their names; absent: all. Seeks among every cell. */
  readonly like?: RegExp;
}

/** What the world outside can tell apart: the others are between us and the database. */
const LOCAL_FAULTS: readonly Fault[] = ['kill', 'stop', 'sleep', 'fail'];
/** Cells between two signs of progress. */
const TELL_EVERY = 50;

/** All cells of all flows, run in several worlds at once. */
export class Matrix {
  readonly cells: readonly Cell[];
  readonly passages: readonly Passage[];
  readonly #slots: Slot[];
  readonly #workers: Workers;
  readonly #kind: Kind;

  private constructor(
    kind: Kind,
    workers: Workers,
    slots: readonly Slot[],
    passages: readonly Passage[],
    cells: readonly Cell[],
  ) {
    this.#kind = kind;
    this.#workers = workers;
    this.#slots = [...slots];
    this.passages = passages;
    this.cells = cells;
  }

  /** Finds out which points the flows pass. */
  static async open({ scenarios, kind, slots: count, sample, like }: MatrixOptions): Promise<Matrix> {
    const workers = await Workers.open(2 + count / 2);
    const slots = await Promise.all(Array.from({ length: count }, () => Slot.open(workers.take, kind)));
    const explored = over(slots, scenarios, (slot, scenario) => slot.explore(scenario));
    const passages = await explored.catch(async (error) => {
      await closeAll(slots, workers);
      throw error;
    });
    const all = passages
      .flatMap((passage) => cellsOf(passage))
      .filter(({ fault }) => kind === 'noop' || LOCAL_FAULTS.includes(fault));
    const sampled = sample === null ? all : core(all, sample.seed, sample.group);
    const chosen = like ? all.filter((cell) => like.test(titleOf(cell))) : sampled;
    return new Matrix(kind, workers, slots, passages, chosen);
  }

  /** Runs every cell, and tells each as it ends. */
  async run(told: (outcome: Outcome) => void): Promise<void> {
    let ended = 0;
    await over(this.#slots, this.cells, async (slot, cell) => {
      const outcome = await slot.run(cell);
      told(outcome);
      if (++ended % TELL_EVERY === 0) process.stderr.write(`${ended} of ${this.cells.length} cells\n`);
      if (outcome.faults.length === 0) return;
      await slot.close().catch(() => {});
      this.#slots[this.#slots.indexOf(slot)] = await Slot.open(this.#workers.take, this.#kind);
    });
  }

  async close(): Promise<void> {
    await closeAll(this.#slots, this.#workers);
  }
}

async function closeAll(slots: readonly Slot[], workers: Workers): Promise<void> {
  await Promise.all(slots.map((slot) => slot.close().catch(() => {})));
  await workers.close();
}

/** Does `work` for each task, one at a time in each slot. Results are in the order of the tasks. */
async function over<Task, Result>(
  slots: readonly Slot[],
  tasks: readonly Task[],
  work: (slot: Slot, task: Task) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  await Promise.all(
    [...slots.keys()].map(async (place) => {
      for (let index = next++; index < tasks.length; index = next++) {
        const [slot, task] = [slots[place], tasks[index]];
        if (slot !== undefined && task !== undefined) results[index] = await work(slot, task);
      }
    }),
  );
  return results;
}
