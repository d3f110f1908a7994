import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { open, parseKeyRing, seal } from './envelope.ts';

const line = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;

describe('the envelope of a secret', () => {
  const old = line('2025');
  const ring = parseKeyRing(`${line('2026')}\n${old}\n\n`);

  it('opens with the key that sealed it, also when that is not the first any more', () => {
    const sealed = seal(parseKeyRing(old), 'the key', 'amphora 1');
    expect(sealed.keyId).toBe('2025');
    expect(open(ring, sealed, 'amphora 1')).toBe('the key');
  });

  it('never looks the same, and never holds the secret', () => {
    const [one, two] = [seal(ring, 'the key', 'amphora 1'), seal(ring, 'the key', 'amphora 1')];
    expect(one.payload.equals(two.payload)).toBe(false);
    expect(one.payload.includes('the key')).toBe(false);
  });

  it('does not open for another owner, with another key, or when it was changed', () => {
    const sealed = seal(ring, 'the key', 'amphora 1');
    expect(() => open(ring, sealed, 'amphora 2')).toThrow();
    expect(() => open(parseKeyRing(line('other')), sealed, 'amphora 1')).toThrow(/2026 .* not among the keys/);
    const changed = Buffer.from(sealed.payload);
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    expect(() => open(ring, { ...sealed, payload: changed }, 'amphora 1')).toThrow();
  });

  it('says which line of the keys is wrong without telling it', () => {
    expect(() => parseKeyRing(`${line('a')}\nb:c2hvcnQ=`)).toThrow(/^Line 2 of the keys is not/);
    expect(() => parseKeyRing('\n')).toThrow(/no key/);
    expect(() => parseKeyRing(`${line('a')}\n${line('a')}`)).toThrow(/Line 2 .* again/);
  });
});
