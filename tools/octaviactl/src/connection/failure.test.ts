import { describe, expect, it } from 'vitest';
import { optionOf } from './failure.ts';

describe('the option that a bad field was given by', () => {
  const options = ['--protocol-port', '--tag', '--session-persistence', '--enable', '--disable', '--listener'];
  for (const [field, option] of [
    ['listener.protocol_port', '--protocol-port'],
    ['protocol_port', '--protocol-port'],
    ['load_balancer.tags[3]', '--tag'],
    ['pool.session_persistence.cookie_name', '--session-persistence'],
    ['pool.admin_state_up', '--enable/--disable'],
    ['listener_id', '--listener'],
    ['listener.load_balancer_id', '<loadbalancer>'],
    ['member.pool_id', '<pool>'],
    ['load_balancer.project_id', '--project'],
    ['member.weight', 'member.weight'],
  ] as const) {
    it(`is ${option} for ${field}`, () => {
      expect(optionOf(field, options)).toBe(option);
    });
  }
});
