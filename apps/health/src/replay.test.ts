import { describe, expect, it } from 'vitest';
import { MAX_BOOTS, MAX_RESTARTS, ReplayGuard } from './replay.ts';

const judgeAll = (guard: ReplayGuard, boot: string, seqs: number[]) => seqs.map((seq) => guard.judge(0, boot, seq));

describe('the replay rule', () => {
  it('believes growing numbers, and each number once', () => {
    expect(judgeAll(new ReplayGuard(), 'a', [7, 8, 8, 20, 7])).toEqual([
      'fresh',
      'fresh',
      'replayed',
      'fresh',
      'replayed',
    ]);
  });

  it('counts what overtook on another listener, but takes it for no sign of life', () => {
    expect(judgeAll(new ReplayGuard(), 'a', [1, 3, 2, 2])).toEqual(['fresh', 'fresh', 'late', 'replayed']);
  });

  it('refuses what is older than the window', () => {
    expect(judgeAll(new ReplayGuard(), 'a', [1, 100, 60])).toEqual(['fresh', 'fresh', 'replayed']);
  });

  it('follows an agent into its next boot, and takes a recording of the old one for nothing new', () => {
    const guard = new ReplayGuard();
    judgeAll(guard, 'a', [100, 101]);
    expect(judgeAll(guard, 'b', [0, 1])).toEqual(['fresh', 'fresh']);
    expect(judgeAll(guard, 'a', [100, 101])).toEqual(['replayed', 'replayed']);
    expect(judgeAll(guard, 'b', [2])).toEqual(['fresh']);
  });

  it('goes on believing the boot of now while an unknown old boot is replayed', () => {
    const guard = new ReplayGuard();
    judgeAll(guard, 'now', [5]);
    judgeAll(guard, 'recorded', [900, 901]);
    expect(judgeAll(guard, 'now', [6])).toEqual(['fresh']);
  });

  it('does not believe endless boots', () => {
    const guard = new ReplayGuard();
    for (let boot = 0; boot < MAX_BOOTS; boot++) guard.judge(0, `boot ${boot}`, 0);
    expect(judgeAll(guard, 'one more', [0, 1])).toEqual(['replayed', 'replayed']);
  });

  it('follows an agent without boot through a restart after its second heartbeat', () => {
    const guard = new ReplayGuard();
    judgeAll(guard, '', [5000, 5001]);
    expect(judgeAll(guard, '', [0, 1, 2])).toEqual(['replayed', 'fresh', 'fresh']);
  });

  it('follows it also when it had only just started before', () => {
    const guard = new ReplayGuard();
    judgeAll(guard, '', [0, 1, 2, 3, 4, 5]);
    expect(judgeAll(guard, '', [0, 1, 2])).toEqual(['replayed', 'fresh', 'fresh']);
  });

  it('never believes one recorded datagram, however often it comes', () => {
    const guard = new ReplayGuard();
    judgeAll(guard, '', [5000]);
    expect(new Set(judgeAll(guard, '', Array(1000).fill(0)))).toEqual(new Set(['replayed']));
  });

  it('does not let a recording of a start keep an amphora alive for ever', () => {
    const guard = new ReplayGuard();
    judgeAll(guard, '', [5000]);
    let believed = 0;
    for (let round = 0; round < 1000; round++) {
      believed += judgeAll(guard, '', [0, 1]).filter((verdict) => verdict === 'fresh').length;
    }
    expect(believed).toBe(MAX_RESTARTS);
  });

  it('refuses a message without boot from an agent that tells its boot', () => {
    const guard = new ReplayGuard();
    judgeAll(guard, 'a', [1]);
    expect(judgeAll(guard, '', [2])).toEqual(['replayed']);
  });
});
