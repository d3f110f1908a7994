import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { Loop } from './loop.ts';

const NEVER_MS = 3_600_000;
const log = pino({ level: 'silent' });

describe('a loop', () => {
  it('begins at once, and again when it is woken', async () => {
    const rounds = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let count = 0;
    const loop = new Loop({ name: 'test', everyMs: NEVER_MS, log, work: () => rounds[count++]?.resolve() });
    await loop.start();
    await rounds[0]?.promise;
    loop.wake();
    await rounds[1]?.promise;
    await loop.stop();
    expect(count).toBe(2);
  });

  it('never runs twice at once, and wakes during a round are one more round', async () => {
    const gate = Promise.withResolvers<void>();
    const second = Promise.withResolvers<void>();
    let running = 0;
    let most = 0;
    let count = 0;
    const work = async (): Promise<void> => {
      count += 1;
      running += 1;
      most = Math.max(most, running);
      if (count === 1) await gate.promise;
      else second.resolve();
      running -= 1;
    };
    const loop = new Loop({ name: 'test', everyMs: NEVER_MS, log, work });
    await loop.start();
    for (let wakes = 0; wakes < 3; wakes++) loop.wake();
    gate.resolve();
    await second.promise;
    await loop.stop();
    expect({ count, most }).toEqual({ count: 2, most: 1 });
  });

  it('rests between two rounds, however often it is woken, and what came meanwhile is one more round', async () => {
    const restMs = 50;
    const times: number[] = [];
    const third = Promise.withResolvers<void>();
    const work = (): void => {
      times.push(performance.now());
      if (times.length === 3) third.resolve();
    };
    const loop = new Loop({ name: 'test', everyMs: NEVER_MS, restMs, log, work });
    await loop.start();
    const waking = setInterval(() => loop.wake(), 1);
    await third.promise;
    clearInterval(waking);
    await loop.stop();
    const [first = 0, second = 0, last = 0] = times;
    // Timers may come a millisecond early.
    expect(Math.min(second - first, last - second)).toBeGreaterThanOrEqual(restMs - 2);
  });

  it('goes on after a round that failed, and waits for the last one when it is stopped', async () => {
    const third = Promise.withResolvers<void>();
    let count = 0;
    let isDone = false;
    const work = async (): Promise<void> => {
      count += 1;
      if (count < 3) throw new Error('not yet');
      third.resolve();
      await new Promise((resolve) => setImmediate(resolve));
      isDone = true;
    };
    const loop = new Loop({ name: 'test', everyMs: 1, log, work });
    await loop.start();
    await third.promise;
    await loop.stop();
    expect(isDone).toBe(true);
    expect(count).toBe(3);
  });
});
