import type { AnyWorkerFlow } from '../../src/world.ts';
import { type Cell, cellsOf, core, type Passage, titleOf } from './plan.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import { type Outcome, Slot } from './slot.ts';
import { Workers } from './workers.ts';

export interface MatrixOptions {
  readonly definitions: readonly AnyWorkerFlow[];
  /** Worlds at once. */
  readonly slots: number;
  /** Null: every cell. Else one of each flow, fault and phase. */
  readonly seed: number | null;
  /** Flows to look at; absent: all. */
  readonly only?: readonly string[];
  /** Cells to run, by their names; absent: all. Seeks among every cell. */
  readonly like?: RegExp;
}

/** Cells between two signs of progress. */
const TELL_EVERY = 50;

/** All cells of all flows, run in several worlds at once. */
export class Matrix {
  readonly cells: readonly Cell[];
  readonly passages: readonly Passage[];
  readonly #slots: Slot[];
  readonly #workers: Workers;

  private constructor(workers: Workers, slots: readonly Slot[], passages: readonly Passage[], cells: readonly Cell[]) {
    this.#workers = workers;
    this.#slots = [...slots];
    this.passages = passages;
    this.cells = cells;
  }

  /** Finds out which points the flows pass. */
  static async open({ definitions, slots: count, seed, only, like }: MatrixOptions): Promise<Matrix> {
    const workers = await Workers.open(2 + count / 2);
    const slots = await Promise.all(Array.from({ length: count }, () => Slot.open(workers.take)));
    const scenarios = SCENARIOS.filter(({ flow }) => only === undefined || only.includes(flow));
    const lastOf = ({ flow }: Scenario) => definitions.find(({ name }) => name === flow)?.steps.at(-1)?.name ?? '';
    const passages = await over(slots, scenarios, (slot, scenario) => slot.explore(scenario, lastOf(scenario)));
    const all = passages.flatMap((passage) => cellsOf(passage, lastOf(passage.scenario)));
    const chosen = like ? all.filter((cell) => like.test(titleOf(cell))) : seed === null ? all : core(all, seed);
    return new Matrix(workers, slots, passages, chosen);
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
      this.#slots[this.#slots.indexOf(slot)] = await Slot.open(this.#workers.take);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.close().catch(() => {})));
    await this.#workers.close();
  }
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
