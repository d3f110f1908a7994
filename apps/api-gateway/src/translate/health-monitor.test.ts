import { InvalidRequest } from '@octavia/domain';
import { HealthMonitor } from '@octavia/proto';
import { describe, expect, it } from 'vitest';
import { Violations } from '../check/violations.ts';
import { readHealthMonitor } from './health-monitor.ts';

const POOL = '01a1f8ce-e196-73f2-9230-5fd7276ce4ad';

function reasons(fields: Partial<HealthMonitor>): string[] {
  const message = HealthMonitor.fromPartial({
    poolId: POOL,
    type: 'HEALTH_MONITOR_TYPE_HTTP',
    delay: 2,
    timeout: 1,
    maxRetries: 2,
    ...fields,
  });
  const check = new Violations();
  readHealthMonitor(message, check);
  try {
    check.finish();
    return [];
  } catch (error) {
    return error instanceof InvalidRequest ? error.violations.map(({ reason }) => reason) : [String(error)];
  }
}

describe('a health monitor', () => {
  it('takes codes, lists and ranges of them', () => {
    for (const expectedCodes of ['200', '200,204', '200, 404', '200-204', '200-200', '599']) {
      expect(reasons({ expectedCodes })).toEqual([]);
    }
    for (const expectedCodes of ['20', '200-', '200,', '200-204,404', '099', '600', '204-200', 'abc', '200 204']) {
      expect(reasons({ expectedCodes })).toEqual(['INVALID_CODES']);
    }
  });

  it('takes absolute paths that stay on one line of a configuration', () => {
    for (const urlPath of ['/', '/health?a=b', '/a%20b']) expect(reasons({ urlPath })).toEqual([]);
    for (const urlPath of ['x', '/a b', '/a\n', '/é', '//host/', 'http://h/', '/\u0000']) {
      expect(reasons({ urlPath })).toEqual(['INVALID_URL_PATH']);
    }
    expect(reasons({ urlPath: `/${'x'.repeat(2048)}` })).toEqual(['TOO_LONG']);
  });

  it('takes host names', () => {
    const withName = (domainName: string) => reasons({ domainName, httpVersion: '1.1' });
    for (const name of ['a', 'a.example', 'a-b.example.', '_x.example', `${'a'.repeat(63)}.b`]) {
      expect(withName(name)).toEqual([]);
    }
    for (const name of ['-a', 'a-', 'a..b', 'a b', 'a_b', 'a'.repeat(64), 'a.'.repeat(128), 'a\r\nX: y', '.']) {
      expect(withName(name)).toEqual(['INVALID_DOMAIN_NAME']);
    }
  });
});
