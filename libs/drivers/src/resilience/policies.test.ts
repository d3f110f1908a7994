import { describe, expect, it } from 'vitest';
import { HaproxyAmphoraDriver } from '../amphora/haproxy/haproxy-amphora.ts';
import { NoopAmphoraDriver } from '../amphora/noop/noop-amphora.ts';
import { LocalCertificatesDriver } from '../certificates/local/local-certificates.ts';
import { NoopCertificatesDriver } from '../certificates/noop/noop-certificates.ts';
import { LocalComputeDriver } from '../compute/local/local-compute.ts';
import { NoopComputeDriver } from '../compute/noop/noop-compute.ts';
import { LocalNetworkDriver } from '../network/local/local-network.ts';
import { NoopNetworkDriver } from '../network/noop/noop-network.ts';
import { amphoraPolicy, certificatesPolicy, computePolicy, networkPolicy } from './policies.ts';
import type { ResiliencePolicy } from './with-resilience.ts';

/** They call nobody. */
const UNGUARDED = ['constructor', 'close'];

/** Two drivers of each kind: what both have is the kind's, what one has alone is its own, or its tests'. */
const drivers: [string, [object, object], ResiliencePolicy][] = [
  ['compute', [NoopComputeDriver.prototype, LocalComputeDriver.prototype], computePolicy('noop')],
  ['network', [NoopNetworkDriver.prototype, LocalNetworkDriver.prototype], networkPolicy('noop')],
  ['amphora', [NoopAmphoraDriver.prototype, HaproxyAmphoraDriver.prototype], amphoraPolicy()],
  ['certificates', [NoopCertificatesDriver.prototype, LocalCertificatesDriver.prototype], certificatesPolicy('noop')],
];

describe('the policies of drivers', () => {
  for (const [kind, [one, other], { methods }] of drivers) {
    const shared = Object.getOwnPropertyNames(one).filter((name) => Object.hasOwn(other, name));

    it(`give every method of a ${kind} driver a deadline`, () => {
      const called = shared.filter((name) => !UNGUARDED.includes(name));
      expect(called.length).toBeGreaterThan(1);
      const without = called.filter((name) => !(methods[name] && methods[name].timeoutMs > 0));
      expect(without).toEqual([]);
    });

    it(`know only methods that a ${kind} driver has`, () => {
      expect(Object.keys(methods).filter((name) => !shared.includes(name))).toEqual([]);
    });
  }
});
