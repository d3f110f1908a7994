import { beforeEach, describe, expect, it } from 'vitest';
import { Sight } from './sight.ts';

describe('whether silence can be judged', () => {
  let now = 0;
  let sight: Sight;
  beforeEach(() => {
    now = 0;
    sight = new Sight(() => now, 4000, 1000);
  });
  /** Time goes on in small looks, with or without batches. */
  const pass = (ms: number, { batches = true } = {}) => {
    for (const end = now + ms; now < end; ) {
      now += 500;
      if (batches) sight.batch();
      sight.look();
    }
    return sight.look();
  };

  it('waits for the first listener, and then for one timeout', () => {
    expect(pass(60_000, { batches: false })).toBe('no_listener');
    expect(pass(3_500)).toBe('recovering');
    expect(pass(1_000)).toBe(null);
  });

  it('does not judge while no listener sends anything, however long', () => {
    pass(10_000);
    expect(pass(2_000, { batches: false })).toBe(null);
    expect(pass(500, { batches: false })).toBe('no_listener');
    expect(pass(600_000, { batches: false })).toBe('no_listener');
    expect(pass(3_500)).toBe('recovering');
    expect(pass(1_000)).toBe(null);
  });

  it('waits one timeout after it was stopped itself', () => {
    pass(10_000);
    now += 1_001;
    sight.batch();
    expect(sight.look()).toBe('paused');
    expect(pass(3_500)).toBe('recovering');
    expect(pass(500)).toBe(null);
  });

  it('does not take a long search for a stop, as long as it ticks meanwhile', () => {
    pass(10_000);
    for (let ticks = 0; ticks < 10; ticks++) {
      now += 900;
      sight.batch();
      expect(sight.tick()).toBe(false);
    }
    expect(sight.look()).toBe(null);
    now += 1_001;
    sight.batch();
    expect(sight.tick()).toBe(true);
    expect(sight.look()).toBe('recovering');
  });

  it('waits one timeout after the database came back', () => {
    pass(10_000);
    sight.databaseFailed();
    expect(pass(60_000)).toBe('database_away');
    sight.databaseAnswered();
    expect(pass(3_500)).toBe('recovering');
    expect(pass(500)).toBe(null);
  });
});
