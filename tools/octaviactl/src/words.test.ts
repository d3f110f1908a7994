import {
  AmphoraStatus,
  HealthMonitorType,
  LbAlgorithm,
  OperatingStatus,
  Protocol,
  ProvisioningStatus,
  SessionPersistence_Type,
} from '@octavia/proto';
import { describe, expect, it } from 'vitest';
import {
  AMPHORA_STATUSES,
  fromWord,
  HEALTH_MONITOR_TYPES,
  LB_ALGORITHMS,
  LISTENER_PROTOCOLS,
  OPERATING_STATUSES,
  PERSISTENCE_TYPES,
  POOL_PROTOCOLS,
  PROVISIONING_STATUSES,
  toWord,
} from './words.ts';

describe('the words of the command line', () => {
  for (const [prefix, values, words] of [
    ['PROTOCOL', Protocol, [...LISTENER_PROTOCOLS, ...POOL_PROTOCOLS]],
    ['LB_ALGORITHM', LbAlgorithm, LB_ALGORITHMS],
    ['TYPE', SessionPersistence_Type, PERSISTENCE_TYPES],
    ['HEALTH_MONITOR_TYPE', HealthMonitorType, HEALTH_MONITOR_TYPES],
    ['PROVISIONING_STATUS', ProvisioningStatus, PROVISIONING_STATUSES],
    ['OPERATING_STATUS', OperatingStatus, OPERATING_STATUSES],
    ['AMPHORA_STATUS', AmphoraStatus, AMPHORA_STATUSES],
  ] as const) {
    it(`name every ${prefix} of the contract, there and back`, () => {
      const known = Object.values(values).filter((value) => !value.endsWith('_UNSPECIFIED'));
      const named = new Set<string>(words.map((word) => fromWord(prefix, word)));
      expect([...named].sort()).toEqual([...known].sort());
      for (const word of words) expect(toWord(prefix, fromWord(prefix, word))).toBe(word);
    });
  }

  it('say nothing for what is unspecified', () => {
    expect(toWord('AMPHORA_ROLE', 'AMPHORA_ROLE_UNSPECIFIED')).toBeNull();
  });
});
