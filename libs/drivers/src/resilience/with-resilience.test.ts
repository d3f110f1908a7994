import { describe, expect, it, vi } from 'vitest';
import { NoopAmphoraDriver } from '../amphora/noop/noop-amphora.ts';
import { NoopComputeDriver } from '../compute/noop/noop-compute.ts';
import {
  AmphoraBuildError,
  AmphoraUnavailable,
  CircuitOpen,
  ComputeUnavailable,
  FenceNotConfirmed,
} from '../errors.ts';
import { amphoraPolicy, computePolicy } from './policies.ts';
import { withResilience } from './with-resilience.ts';

const AMPHORA_ID = 'a0000000-0000-4000-8000-000000000001';
const amphora = { amphoraId: AMPHORA_ID, lbNetworkIp: '127.0.0.9', agentPort: 1 };
const other = { ...amphora, amphoraId: 'a0000000-0000-4000-8000-000000000002' };

function compute(options: Parameters<typeof computePolicy>[1] = {}) {
  const noop = new NoopComputeDriver({ timeOutMs: 3_600_000 });
  return { noop, driver: withResilience(noop, computePolicy('noop', { failures: 3, restMs: 60_000, ...options })) };
}

describe('a driver with resilience', () => {
  it('gives up a call after its time-out, with the driver’s own error, and ends the work behind it', async () => {
    const { noop, driver } = compute({ timeoutMs: 50 });
    noop.control.timeOutNext('build');
    const building = driver.build({ amphoraId: AMPHORA_ID });
    await expect(building).rejects.toBeInstanceOf(ComputeUnavailable);
    await expect(building).rejects.toThrow(/gave up build after 50 ms/);
    expect(noop.control.calls.map(({ outcome }) => outcome)).toEqual(['timed-out']);
  });

  it('tries reads again, and changes not', async () => {
    const { noop, driver } = compute();
    noop.control.failNext('list', new ComputeUnavailable('hiccup'), 2);
    expect(await driver.list()).toEqual([]);
    noop.control.failNext('build', new ComputeUnavailable('hiccup'));
    await expect(driver.build({ amphoraId: AMPHORA_ID })).rejects.toThrow('hiccup');
    expect(noop.control.calls.filter(({ method }) => method === 'build')).toHaveLength(1);
  });

  it('lets errors through as they are that no repetition changes, and does not count them', async () => {
    const { noop, driver } = compute();
    const error = new AmphoraBuildError('no');
    noop.control.failNext('*', error, 10);
    for (let i = 0; i < 10; i++) await expect(driver.build({ amphoraId: AMPHORA_ID })).rejects.toBe(error);
    expect(driver.breakers()).toMatchObject([{ driver: 'compute', endpoint: 'noop', state: 'closed' }]);
  });

  it('makes no call to an endpoint that failed too often, and says when it tries again', async () => {
    const { noop, driver } = compute();
    noop.control.failNext('*', new ComputeUnavailable('down'), 3);
    for (let i = 0; i < 3; i++) await driver.build({ amphoraId: AMPHORA_ID }).catch(() => {});
    const building = driver.build({ amphoraId: AMPHORA_ID });
    await expect(building).rejects.toBeInstanceOf(CircuitOpen);
    await expect(building).rejects.toMatchObject({ kind: 'unavailable', reason: 'CIRCUIT_OPEN' });
    // What a person reads is why, not only that nobody asks just now.
    await expect(building).rejects.toThrow(/ The last time: /);
    const error = await building.catch((thrown: CircuitOpen) => thrown);
    expect((error as CircuitOpen).retryAfterMs).toBeGreaterThan(50_000);
    expect(noop.control.calls).toHaveLength(3);
    expect(driver.breakers()).toMatchObject([
      { state: 'open', since: expect.any(Date), lastError: { reason: 'COMPUTE_UNAVAILABLE', message: 'down' } },
    ]);
  });

  it('lets one call through after the rest, and all when that succeeds', async () => {
    vi.useFakeTimers();
    try {
      const { noop, driver } = compute();
      noop.control.failNext('*', new ComputeUnavailable('down'), 3);
      for (let i = 0; i < 3; i++) await driver.build({ amphoraId: AMPHORA_ID }).catch(() => {});
      vi.advanceTimersByTime(60_001);
      await driver.build({ amphoraId: AMPHORA_ID });
      expect(driver.breakers()).toMatchObject([{ state: 'closed', retryAfterMs: 0 }]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('does not count a fence that is not confirmed: it says nothing about the service', async () => {
    const { noop, driver } = compute();
    noop.control.failNext('fence', new FenceNotConfirmed('c', 'it runs'), 10);
    const computeId = `noop:${AMPHORA_ID}`;
    for (let i = 0; i < 10; i++) await expect(driver.fence(computeId)).rejects.toBeInstanceOf(FenceNotConfirmed);
    await driver.fence(computeId);
  });

  it('passes on the reason of an abort, at once, and does not count it', async () => {
    const { noop, driver } = compute();
    for (let i = 0; i < 5; i++) {
      noop.control.delayNext('build', 3_600_000);
      const stop = new AbortController();
      const building = driver.build({ amphoraId: AMPHORA_ID }, { signal: stop.signal });
      stop.abort(new ComputeUnavailable('the flow was asked to stop'));
      await expect(building).rejects.toThrow('the flow was asked to stop');
    }
    expect(driver.breakers()).toMatchObject([{ state: 'closed' }]);
  });

  it('keeps the fence of a call', async () => {
    const { noop, driver } = compute();
    await driver.list({ fence: { flowId: 'f', epoch: 3 } });
    expect(noop.control.calls[0]?.fence).toEqual({ flowId: 'f', epoch: 3 });
  });

  it('holds back calls to the dead amphora only, and never the question whether it is up', async () => {
    const noop = new NoopAmphoraDriver();
    const driver = withResilience(noop, amphoraPolicy({ failures: 2, restMs: 60_000 }));
    await noop.silence(amphora.amphoraId);
    for (let i = 0; i < 5; i++) await expect(driver.getFacts(amphora)).rejects.toBeInstanceOf(AmphoraUnavailable);
    for (let i = 0; i < 2; i++) await expect(driver.stop(amphora, 'lb')).rejects.toBeInstanceOf(AmphoraUnavailable);
    await expect(driver.stop(amphora, 'lb')).rejects.toBeInstanceOf(CircuitOpen);
    await driver.stop(other, 'lb');
    await noop.silence(amphora.amphoraId, false);
    await driver.getFacts(amphora);
    expect(driver.breakers().map(({ state }) => state)).toEqual(['open', 'closed']);
  });
});
