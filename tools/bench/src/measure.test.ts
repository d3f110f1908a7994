import { describe, expect, it } from 'vitest';
import { distribution, type Figure, isMet, quantile } from './measure.ts';

describe('a measurement', () => {
  it('is told by values that were measured', () => {
    const values = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1)]).toEqual([50, 99, 100]);
    expect(quantile([7], 0.01)).toBe(7);
    expect(quantile([], 0.5)).toBeNaN();
  });

  it('meets its goal only beyond the bound, and never without a value', () => {
    const figure = (value: number, goal: Figure['goal']): Figure => ({
      what: 'x',
      unit: 'ms',
      values: { value },
      count: 1,
      ...(goal ? { goal } : {}),
    });
    expect(isMet(figure(9, { of: 'value', below: 10 }))).toBe(true);
    expect(isMet(figure(10, { of: 'value', below: 10 }))).toBe(false);
    expect(isMet(figure(101, { of: 'value', above: 100 }))).toBe(true);
    expect(isMet(figure(Number.NaN, { of: 'value', above: 100 }))).toBe(false);
    expect(isMet(figure(1, undefined))).toBeNull();
    expect(isMet(distribution('y', [], [50], { of: 'p50', below: 10 }))).toBe(false);
  });
});
