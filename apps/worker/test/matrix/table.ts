import { FAULTS, type Fault, PHASES, type Phase } from './plan.ts';
import type { Outcome } from './slot.ts';

/** The matrix for machines: every cell with its figures. */
export function asJson(outcomes: readonly Outcome[], seed: number | null): object {
  return {
    seed,
    passed: outcomes.filter(({ faults }) => faults.length === 0).length,
    failed: outcomes.filter(({ faults }) => faults.length > 0).length,
    cells: outcomes.map(({ cell, faults, settledMs }) => ({
      flow: cell.scenario.flow,
      ...(cell.scenario.variant ? { variant: cell.scenario.variant } : {}),
      step: cell.point.step,
      direction: cell.point.direction,
      point: cell.point.point,
      fault: cell.fault,
      ends: cell.ends,
      milliseconds: Math.round(settledMs),
      faults,
    })),
  };
}

/**
 * The matrix for people: a row for each step, a column for each fault, and in it how many points passed of before/in/after/undo.
 * `·`: there is no such point.
 */
export function asTable(outcomes: readonly Outcome[]): string {
  const lines = [`| flow, step | ${FAULTS.join(' | ')} |`, `| --- |${FAULTS.map(() => ' --- |').join('')}`];
  const byFlow = Map.groupBy(outcomes, ({ cell }) => nameOf(cell.scenario));
  for (const [flow, ofFlow] of byFlow) {
    for (const [step, ofStep] of Map.groupBy(ofFlow, ({ cell }) => cell.point.step)) {
      lines.push(`| ${flow} ${step} | ${FAULTS.map((fault) => entry(ofStep, fault)).join(' | ')} |`);
    }
  }
  const failed = outcomes.filter(({ faults }) => faults.length > 0).length;
  lines.push('', `${outcomes.length - failed} passed, ${failed} failed.`);
  return lines.join('\n');
}

export function nameOf({ flow, variant }: Outcome['cell']['scenario']): string {
  return variant ? `${flow} (${variant})` : flow;
}

function entry(outcomes: readonly Outcome[], fault: Fault): string {
  return PHASES.map((phase) => count(outcomes, fault, phase)).join(' ');
}

function count(outcomes: readonly Outcome[], fault: Fault, phase: Phase): string {
  const here = outcomes.filter(({ cell }) => cell.fault === fault && cell.phase === phase);
  const failed = here.filter(({ faults }) => faults.length > 0).length;
  if (here.length === 0) return '·';
  return failed > 0 ? `${here.length - failed}/${here.length} FAILED` : String(here.length);
}
