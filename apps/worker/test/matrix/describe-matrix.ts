import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { definitions } from '../../src/flows/index.ts';
import { Matrix } from './matrix.ts';
import type { Kind } from './outside.ts';
import { FAULTS, titleOf } from './plan.ts';
import { LOCAL, NAMESPACES, SCENARIOS } from './scenarios.ts';
import type { Outcome } from './slot.ts';
import { asJson, asTable } from './table.ts';

/**
 * MATRIX=full runs every cell, and of those that cost several processes each one of each flow, step, phase and fault; else one of each
 * flow and fault. Which one, MATRIX_SEED says.
 */
const isFull = process.env.MATRIX === 'full';
const seed = Number(process.env.MATRIX_SEED ?? Date.now() % 100_000);
/** Runs the cells alone whose titles match: for whoever looks for a cause. */
const like = process.env.MATRIX_LIKE ? { like: new RegExp(process.env.MATRIX_LIKE) } : {};
/** Worlds at once: most of a cell is waiting for a lease, but local amphorae cost processor time. */
const SLOTS = { noop: 8, local: 3, namespaces: 3 };
const CHOSEN = { noop: SCENARIOS, local: LOCAL, namespaces: NAMESPACES };
const RESULTS = join(import.meta.dirname, '../../test-results');
/** Five times what the longest run of all cells took on two cores. */
const LIMIT_MS = isFull ? 5_400_000 : 300_000;

/** Tests that every flow ends as it must, whatever it is met by, with one kind of drivers. */
export function describeMatrix(kind: Kind): void {
  const scenarios = CHOSEN[kind];
  const flows = definitions.filter(({ name }) => kind === 'noop' || scenarios.some(({ flow }) => flow === name));
  const group = isFull ? 'phase' : 'flow';
  const sample = isFull && kind !== 'namespaces' ? null : ({ seed, group } as const);
  const outcomes: Outcome[] = [];
  let matrix: Matrix | null = null;

  beforeAll(async () => {
    const slots = Number(process.env.MATRIX_SLOTS ?? SLOTS[kind]);
    matrix = await Matrix.open({ scenarios, kind, slots, sample, ...like });
    await matrix.run((outcome) => void outcomes.push(outcome));
  }, LIMIT_MS);

  afterAll(async () => {
    if (!matrix) return;
    await matrix.close();
    const sorted = matrix.cells.flatMap((cell) => outcomes.find((outcome) => outcome.cell === cell) ?? []);
    for (const folder of ['matrix', 'long']) mkdirSync(join(RESULTS, folder), { recursive: true });
    writeFileSync(join(RESULTS, `matrix/${kind}.json`), JSON.stringify(asJson(sorted, sample?.seed ?? null), null, 1));
    const table = `${asTable(sorted)}${sample ? ` MATRIX_SEED=${sample.seed}` : ''}\n`;
    if (isFull) writeFileSync(join(RESULTS, `long/matrix-${kind}.md`), table);
    process.stdout.write(`\n${table}`);
  }, LIMIT_MS);

  describe(`the crash matrix with ${kind} drivers`, () => {
    // Local drivers have not all scenarios, so some steps are not needed there.
    it.runIf(kind === 'noop')('has a scenario for every flow, which passes every step of it and every undo', () => {
      const missing = flows.flatMap((flow) => {
        const passages = (matrix?.passages ?? []).filter(({ scenario }) => scenario.flow === flow.name);
        const passed = passages
          .flatMap(({ forth, back }) => [...forth, ...back])
          .filter((one) => one.flow === flow.name);
        const isPassed = (step: string, direction: string) =>
          passed.some((point) => point.step === step && point.direction === direction);
        return flow.steps.flatMap(({ name, undo }) => [
          ...(isPassed(name, 'do') ? [] : [`${flow.name} ${name}`]),
          ...(undo === undefined || isPassed(name, 'undo') ? [] : [`${flow.name} ${name}, its undo`]),
        ]);
      });
      expect(missing).toEqual([]);
      expect(scenarios.filter(({ flow }) => !flows.some(({ name }) => name === flow))).toEqual([]);
    });

    for (const { name } of flows) {
      for (const fault of FAULTS) {
        it(`${name} ends as it must, and leaves nothing, whatever step is met by: ${fault}`, () => {
          const failures = outcomes.flatMap(({ cell, faults }) =>
            cell.scenario.flow === name && cell.fault === fault && faults.length > 0
              ? [`${titleOf(cell)}: ${faults.join('\n  ')}`]
              : [],
          );
          expect(failures.join('\n\n')).toBe('');
        });
      }
    }
  });
}
