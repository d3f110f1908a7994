import { numbers } from '@octavia/service/testing';
import type { Scenario } from './scenarios.ts';
import { END, type Point, type Trap } from './traps.ts';

/**
 * What happens at a point. To the worker: `kill`: kill -9. `stop`: SIGSTOP until another has taken the flow over; `sleep`: until the
 * flow has ended. `cut`: it alone has no database for longer than its lease, and lives; `blip`: all connections break, once. To the
 * flow: `fail`: the step fails for good. `delete`, `failover`: somebody asks for one, which stops the flow.
 */
export const FAULTS = ['kill', 'stop', 'sleep', 'cut', 'blip', 'fail', 'delete', 'failover'] as const;
export type Fault = (typeof FAULTS)[number];

/** When. `in`: inside a call of a driver or a transaction of the step. */
export const PHASES = ['before', 'in', 'after', 'undo'] as const;
export type Phase = (typeof PHASES)[number];

export interface Cell {
  readonly scenario: Scenario;
  readonly fault: Fault;
  readonly phase: Phase;
  readonly point: Point;
  /** Set beside the one at `point`: what makes the flow fail, so that it undoes. */
  readonly traps: readonly Trap[];
  /** How the flow is to end. */
  readonly ends: 'succeeded' | 'failed' | 'deleted';
}

/** What a scenario passes through by itself, and what when its last step fails late. */
export interface Passage {
  readonly scenario: Scenario;
  /** Of those that it needs. */
  readonly lastStep: string;
  readonly forth: readonly Point[];
  readonly back: readonly Point[];
}

/** What makes a flow undo everything: its last step fails once it has done its work. */
export function lateFailure({ flow }: Scenario, lastStep: string): Trap {
  return { flow, step: lastStep, direction: 'do', point: 'after', act: 'fail' };
}

/** Every fault at every point of a scenario. */
export function cellsOf({ scenario, lastStep, forth, back }: Passage): Cell[] {
  const own = (points: readonly Point[]) => points.filter(({ flow }) => flow === scenario.flow);
  const forwards = own(forth).flatMap((point) =>
    FAULTS.filter((fault) => isPossible(scenario, fault, point)).map(
      (fault): Cell => ({ scenario, fault, phase: phaseOf(point), point, traps: [], ends: endOf(fault) }),
    ),
  );
  const backwards = own(back).filter(({ direction, step }) => direction === 'undo' || step === END);
  const undone = backwards.flatMap((point) =>
    FAULTS.filter((fault) => endOf(fault) === 'succeeded' && fault !== 'failover').map(
      (fault): Cell => ({
        scenario,
        fault,
        phase: 'undo',
        point,
        traps: [lateFailure(scenario, lastStep)],
        ends: 'failed',
      }),
    ),
  );
  return [...forwards, ...undone];
}

/** Such as `load_balancer.update, push_configuration do effect amphora.pushHaproxy, kill, succeeded`. */
export function titleOf({ scenario: { flow, variant }, point: { step, direction, point }, fault, ends }: Cell): string {
  return `${flow}${variant ? ` (${variant})` : ''}, ${step} ${direction} ${point}, ${fault}, ${ends}`;
}

function phaseOf({ point }: Point): Phase {
  if (point === 'before') return 'before';
  return point === 'after' || point === 'saving' ? 'after' : 'in';
}

function isPossible({ isStoppable = false }: Scenario, fault: Fault, { step, point }: Point): boolean {
  // The end of a flow is the engine's, not a step that may fail.
  if (fault === 'fail') return step !== END;
  // Whoever asks for another flow needs the lock of the load balancer, which transactions of the flow have.
  if (fault === 'delete' || fault === 'failover')
    return isStoppable && !['commit', 'saving'].includes(point) && step !== END;
  return true;
}

function endOf(fault: Fault): Cell['ends'] {
  if (fault === 'fail') return 'failed';
  return fault === 'delete' ? 'deleted' : 'succeeded';
}

/** What one cell may stand for: a fault in a flow, or in a phase of one of its steps. */
export const GROUPS = {
  flow: ({ scenario, fault }: Cell) => `${scenario.flow} ${fault}`,
  phase: ({ scenario, fault, point, phase }: Cell) => `${scenario.flow} ${fault} ${point.step} ${phase}`,
} as const;

/** One cell for each group, chosen by a seed: every run looks at others. */
export function core(cells: readonly Cell[], seed: number, group: keyof typeof GROUPS): Cell[] {
  const random = numbers(seed);
  return [...Map.groupBy(cells, GROUPS[group]).values()].flatMap(
    (ofGroup) => ofGroup[Math.floor(random() * ofGroup.length)] ?? [],
  );
}
