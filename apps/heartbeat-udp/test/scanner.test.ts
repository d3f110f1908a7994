import { readFileSync } from 'node:fs';
import { type HeartbeatMessage, readHeartbeat, statusHash } from '@octavia/domain';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Scanner } from '../src/scanner.ts';
import { body } from './seal.ts';

const scanner = new Scanner();

/** What JSON.parse and readHeartbeat make of a text. */
function slowly(text: string): HeartbeatMessage | string {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? readHeartbeat(value) : 'not_object';
  } catch {
    return 'bad_json';
  }
}

/** Returns whether the scanner took the text; then it must say the same as the slow way. */
function agrees(text: string): boolean {
  const scan = scanner.scan(Buffer.from(text, 'latin1'));
  if (!scan) return false;
  const message = slowly(text);
  if (typeof message === 'string') throw new Error(`${message}, but the scanner took ${text}`);
  const { status, ...rest } = message;
  expect(scan).toEqual({ ...rest, hash: statusHash(status) });
  return true;
}

const id = fc.stringMatching(/^[a-z0-9-]{1,12}$/).filter((text) => text !== '__proto__');
const word = fc.constantFrom('UP', 'DOWN', 'no check', 'OPEN', 'UP 1/2', '');
const count = fc.integer({ min: 0, max: 999_999_999_999_999 });
const stats = fc.record({ tx: count, rx: count, conns: count, totconns: count, ereq: count });
const pools = fc.dictionary(
  fc.tuple(id, fc.option(id)).map(([pool, listener]) => (listener === null ? pool : `${pool}:${listener}`)),
  fc.record({ status: word, members: fc.dictionary(id, word, { maxKeys: 4 }) }),
  { maxKeys: 4 },
);
const message = fc.record(
  {
    id: fc.uuid(),
    seq: count,
    ver: fc.constantFrom(2, 3, 4, 17),
    boot: fc.string({ unit: 'grapheme-ascii', maxLength: 10 }),
    at: fc.oneof(fc.double(), fc.boolean(), fc.constant(null), fc.string()),
    listeners: fc.dictionary(id, fc.record({ status: word, stats }, { requiredKeys: ['status'] }), { maxKeys: 4 }),
    pools,
  },
  { requiredKeys: ['id', 'seq', 'ver', 'listeners', 'pools'] },
);

describe('reading a heartbeat from its bytes', () => {
  it('says the same as parsing it, in any layout', () => {
    let taken = 0;
    fc.assert(
      fc.property(message, fc.constantFrom(0, 1, '\t', '\r\n '), (given, space) => {
        if (agrees(JSON.stringify(given, null, space))) taken += 1;
      }),
      { numRuns: 3000 },
    );
    // The rest has escapes, characters beyond ASCII, or a pool under two listeners.
    expect(taken).toBeGreaterThan(1500);
  });

  it('takes nothing that parsing refuses: texts with any change', () => {
    const honest = JSON.stringify(body(1, 7, { boot: 'b' }));
    const change = fc.record({
      at: fc.nat(honest.length),
      remove: fc.nat(3),
      insert: fc.oneof(
        fc.string({ unit: 'grapheme-ascii', maxLength: 3 }),
        fc.constantFrom(
          '"',
          '\\',
          '{',
          '}',
          ',',
          ':',
          '-',
          '0',
          '.',
          'e1',
          '[]',
          'null',
          '\n',
          '\u0000',
          '"id":',
          '\\u0041',
        ),
      ),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        let text = honest;
        for (const { at, remove, insert } of changes) text = text.slice(0, at) + insert + text.slice(at + remove);
        agrees(text);
      }),
      { numRuns: 20_000 },
    );
  });

  it('takes what amphorae really send, and leaves the rest to parsing', () => {
    const { vectors }: { vectors: { name: string; expect: { accepted: boolean; decoded?: object } }[] } = JSON.parse(
      readFileSync(new URL('./fixtures/heartbeat-vectors.json', import.meta.url), 'utf8'),
    );
    // Old versions, counts beyond 15 digits, nested unknown fields, escapes; the live ones share a pool.
    const left = ['live-', 'v0', 'json-missing', 'json-ver', 'v3-big', 'v3-extra', 'v3-non-ascii'];
    for (const { name, expect: expected } of vectors) {
      if (!expected.decoded || !expected.accepted) continue;
      const isLeft = left.some((start) => name.startsWith(start));
      expect([name, agrees(JSON.stringify(expected.decoded))]).toEqual([name, !isLeft]);
    }
  });

  it('leaves a pool under two listeners, where the last one counts, to parsing', () => {
    const pool = (status: string) => ({ status, members: {} });
    const shared = { ...body(1, 0), pools: { 'p:1': pool('UP'), 'p:2': pool('DOWN') } };
    expect(agrees(JSON.stringify(shared))).toBe(false);
    expect(agrees(JSON.stringify({ ...shared, pools: { 'p:1': pool('UP'), 'pp:2': pool('DOWN') } }))).toBe(true);
  });
});
