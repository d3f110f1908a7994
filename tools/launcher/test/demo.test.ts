import { afterAll, describe, expect, it } from 'vitest';
import { Journey, plainUser } from './journey.ts';

/** What `npm run demo` shows is true, and it leaves the machine as it was. */
describe('the demo', () => {
  const journey = new Journey(process.getuid?.() === 0 ? plainUser() : null);
  afterAll(() => journey.end());

  it('starts the system, keeps its promises, gives the figures, and stops what it started', async () => {
    const { code, stdout, stderr } = await journey.demo(['--json']);
    expect({ code, story: code === 0 ? '' : stderr }).toEqual({ code: 0, story: '' });
    const figures = JSON.parse(stdout);
    expect(figures).toMatchObject({
      ok: true,
      problems: [],
      create: { calls: 7 },
      spread: { answered: { one: expect.any(Number), two: expect.any(Number), three: expect.any(Number) }, failed: 0 },
      member_stopped: { spread: { answered: { two: 0 }, failed: 0 } },
      failover: { had_spare: true },
    });
    const { last_heartbeat_ms, declared_dead_ms, fenced_ms, vip_moved_ms, first_good_request_ms } = figures.failover;
    // The age of a heartbeat counts from when it was read, which on a busy machine may be after the killing.
    expect(last_heartbeat_ms).toBeLessThan(declared_dead_ms);
    const inOrder = [0, declared_dead_ms, fenced_ms, vip_moved_ms, first_good_request_ms];
    expect(inOrder).toEqual(inOrder.toSorted((one, other) => one - other));
    expect(stderr).toMatch(/VIP moved to a spare/);
    expect(await journey.processesOf(journey.home)).toEqual([]);
  });

  it('cleans up when it is interrupted', async () => {
    const { code, stdout } = await journey.demo([], 'ACTIVE  ');
    expect({ code, stdout }).toMatchObject({ code: 130 });
    expect(stdout).toMatch(/Interrupted/);
    expect(stdout).toMatch(/load balancer +deleted\n.*web servers +stopped\n.*controller +stopped/);
    expect(await journey.processesOf(journey.home)).toEqual([]);
  });
}, 240_000);
