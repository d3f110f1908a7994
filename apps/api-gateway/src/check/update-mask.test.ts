import { InvalidRequest } from '@octavia/domain';
import { describe, expect, it } from 'vitest';
import { applyUpdate } from './update-mask.ts';
import { Violations } from './violations.ts';

interface Message {
  name?: string;
  tags: string[];
  type: string;
  address: string;
  size?: number;
}
const paths = { mutable: ['name', 'tags', 'size'], immutable: ['type', 'address'], output: ['id'] };
const current: Message = { name: 'a', tags: ['t'], type: 'TYPE_A', address: '2001:db8::1', size: 5 };
const empty: Message = { tags: [], type: 'TYPE_UNSPECIFIED', address: '' };

function apply(request: Partial<Message>, mask?: string[]): Message {
  const check = new Violations('thing');
  const merged = applyUpdate(paths, current, { ...empty, ...request }, mask, check);
  check.finish();
  return merged;
}

function violations(request: Partial<Message>, mask?: string[]): Record<string, string> {
  try {
    apply(request, mask);
    return {};
  } catch (error) {
    return error instanceof InvalidRequest ? error.details : { unexpected: String(error) };
  }
}

describe('an update', () => {
  it('changes what is set when there is no mask, also to an empty text or zero', () => {
    expect(apply({})).toEqual(current);
    expect(apply({ name: '', size: 0 })).toEqual({ ...current, name: '', size: 0 });
  });

  it('changes what the mask names and nothing else', () => {
    expect(apply({ name: 'b', size: 9 }, ['name'])).toEqual({ ...current, name: 'b' });
    expect(apply({}, ['name', 'tags'])).toEqual({ ...current, name: undefined, tags: [] });
    expect(apply({ name: 'b' }, ['*'])).toEqual({ ...current, name: 'b', tags: [], size: undefined });
    expect(apply({ name: 'b' }, [])).toEqual({ ...current, name: 'b' });
  });

  it('may repeat what cannot change, in any spelling', () => {
    expect(violations({ address: '2001:DB8:0::1', type: 'TYPE_A' })).toEqual({});
    expect(violations({ address: '2001:db8::1' }, ['address'])).toEqual({});
  });

  it('refuses other values of it, and its removal', () => {
    const both = { 'thing.address': 'IMMUTABLE_FIELD', 'thing.type': 'IMMUTABLE_FIELD' };
    expect(violations({ address: '2001:db8::2', type: 'TYPE_B' })).toEqual(both);
    expect(violations({}, ['address', 'type'])).toEqual(both);
  });

  it('takes capitals of a text that cannot change for another text, of an id for the same', () => {
    const id = '0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2d';
    const refused = (address: string, wanted: string) => {
      const check = new Violations('thing');
      applyUpdate(paths, { ...current, address }, { ...empty, address: wanted }, [], check);
      return () => check.finish();
    };
    expect(refused('shop', 'Shop')).toThrow(InvalidRequest);
    expect(refused('shop', ' shop')).not.toThrow();
    expect(refused(id, id.toUpperCase())).not.toThrow();
  });

  it('ignores output fields and refuses unknown ones', () => {
    expect(violations({}, ['id'])).toEqual({});
    expect(violations({}, ['colour'])).toEqual({ update_mask: 'UNKNOWN_FIELD' });
    expect(violations({}, Array(101).fill('name'))).toEqual({ update_mask: 'TOO_MANY' });
    expect(violations({}, ['__proto__'])).toEqual({ update_mask: 'UNKNOWN_FIELD' });
  });
});
