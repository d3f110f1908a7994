import { describe, expect, it } from 'vitest';
import { NoopAmphoraDriver } from '../amphora/noop/noop-amphora.ts';
import { NoopCertificatesDriver } from '../certificates/noop/noop-certificates.ts';
import { NoopComputeDriver } from '../compute/noop/noop-compute.ts';
import { NoopNetworkDriver } from '../network/noop/noop-network.ts';
import { amphoraPolicy, certificatesPolicy, computePolicy, networkPolicy } from './policies.ts';
import type { ResiliencePolicy } from './with-resilience.ts';

/** Of every driver, and those that only tests call. */
const UNGUARDED = ['constructor', 'close', 'disturb', 'silence', 'holders', 'isFenced'];

const drivers: [string, object, ResiliencePolicy][] = [
  ['compute', NoopComputeDriver.prototype, computePolicy('noop')],
  ['network', NoopNetworkDriver.prototype, networkPolicy('noop')],
  ['amphora', NoopAmphoraDriver.prototype, amphoraPolicy()],
  ['certificates', NoopCertificatesDriver.prototype, certificatesPolicy('noop')],
];

describe('the policies of drivers', () => {
  for (const [kind, prototype, { methods }] of drivers) {
    it(`give every method of the ${kind} driver a deadline`, () => {
      const called = Object.getOwnPropertyNames(prototype).filter((name) => !UNGUARDED.includes(name));
      const without = called.filter((name) => !(methods[name] && methods[name].timeoutMs > 0));
      expect(without).toEqual([]);
    });

    it(`know only methods that the ${kind} driver has`, () => {
      const unknown = Object.keys(methods).filter((name) => !(name in prototype));
      expect(unknown).toEqual([]);
    });
  }
});
