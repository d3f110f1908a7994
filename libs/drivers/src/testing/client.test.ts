import { describe, expect, it } from 'vitest';
import { GuestClient } from './client.ts';

const client = (...requests: readonly (readonly [begunAt: number, endedAt: number, said?: string])[]): GuestClient => {
  const made = new GuestClient();
  for (const [begunAt, endedAt, said] of requests)
    made.note({ begunAt, endedAt, isAnswered: said === undefined, said: said ?? 'ok' });
  return made;
};

describe('a client of a VIP', () => {
  it('sees the longest time between two answers, from the last one before', () => {
    const now = Date.now();
    const asked = client(
      [now - 900, now - 895],
      [now - 880, now - 500, 'ECONNREFUSED'],
      [now - 610, now - 595],
      [now - 5, now],
    );
    expect(asked.gap(now - 890)).toBeGreaterThanOrEqual(590);
    expect(asked.gap(now - 890)).toBeLessThan(700);
  });

  it('sees a gap that lasts still', () => {
    const now = Date.now();
    expect(client([now - 5_000, now - 4_990]).gap(now - 4_980)).toBeGreaterThanOrEqual(4_990);
  });

  it('waits for an answer to a request that began late enough', async () => {
    const asked = client([100, 110]);
    const waiting = asked.answered(10_000, 200);
    asked.note({ begunAt: 190, endedAt: 210, isAnswered: true, said: 'too early' });
    asked.note({ begunAt: 200, endedAt: 220, isAnswered: false, said: 'ETIMEDOUT' });
    asked.note({ begunAt: 205, endedAt: 230, isAnswered: true, said: 'this' });
    expect(await waiting).toMatchObject({ said: 'this' });
    expect(asked.failures(0)).toEqual({ ETIMEDOUT: 1 });
  });

  it('gives up after a while, with what went wrong, or when it is told to', async () => {
    await expect(client([300, 310, 'ECONNREFUSED']).answered(1, 200)).rejects.toThrow('{"ECONNREFUSED":1}');
    await expect(client().answered(10_000, 0, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
  });
});
