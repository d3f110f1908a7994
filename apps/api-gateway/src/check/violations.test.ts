import { InvalidRequest, UnsupportedByProvider } from '@octavia/domain';
import { describe, expect, it } from 'vitest';
import { Violations } from './violations.ts';

function found(read: (check: Violations) => void): string[] {
  const check = new Violations('o');
  read(check);
  try {
    check.finish();
    return [];
  } catch (error) {
    if (error instanceof InvalidRequest) return error.violations.map(({ field, reason }) => `${field} ${reason}`);
    return [error instanceof UnsupportedByProvider ? error.reason : String(error)];
  }
}

describe('a check', () => {
  it('counts characters as people do', () => {
    expect(found((check) => check.text('name', '𝒳'.repeat(255)))).toEqual([]);
    expect(found((check) => check.text('name', '𝒳'.repeat(256)))).toEqual(['o.name TOO_LONG']);
  });

  it('refuses every control character', () => {
    for (const bad of ['\u0000', '\n', '\u001b', '\u007f', '\u0085']) {
      expect(found((check) => check.text('name', `a${bad}b`))).toEqual(['o.name INVALID_CHARACTER']);
      expect(found((check) => check.tags([`a${bad}`]))).toEqual(['o.tags INVALID_CHARACTER']);
    }
  });

  it('reads ids with and without dashes, in small letters', () => {
    const id = '01a1f8ce-e196-73f2-9230-5fd7276ce4ad';
    const check = new Violations();
    expect(check.uuid('id', id.toUpperCase())).toBe(id);
    expect(check.uuid('id', id.replaceAll('-', ''))).toBe(id);
    for (const bad of ['x', `${id}0`, id.slice(1), `${id.slice(0, 35)}g`, '-'.repeat(36)]) {
      expect(found((checked) => checked.uuid('id', bad))).toEqual(['o.id INVALID_UUID']);
    }
    expect(found((checked) => checked.uuid('id', ''))).toEqual(['o.id REQUIRED']);
  });

  it('names all faults at once, and tells of what is not served only when there is no other', () => {
    const all = found((check) => {
      check.addUnsupported('type', 'X');
      check.integer('weight', 300, { min: 0, max: 256 });
      check.integer('delay', undefined, { min: 1, max: 9 });
      check.port('port', 0);
    });
    expect(all).toEqual(['o.weight OUT_OF_RANGE', 'o.delay REQUIRED', 'o.port REQUIRED']);
    expect(found((check) => check.served('type', 'B', ['A', 'C'] as string[]))).toEqual(['UNSUPPORTED_BY_PROVIDER']);
    expect(found((check) => check.served('type', null, ['A']))).toEqual(['o.type REQUIRED']);
  });
});
