import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { readHeartbeat, statusHash } from '@octavia/domain';
import { describe, expect, it } from 'vitest';
import { Inflater } from '../src/inflater.ts';
import { type Opened, Opener, type Refusal, statusOf } from '../src/opener.ts';
import { Signature } from '../src/signature.ts';
import { body, KEY, seal, sealBytes } from './seal.ts';

interface Vector {
  readonly name: string;
  readonly description: string;
  readonly class: 'positive' | 'negative' | 'lenient' | 'semantic' | 'bomb';
  readonly key: string;
  readonly packet_hex: string;
  readonly expect: { readonly accepted: boolean; readonly reason?: string; readonly decoded?: object };
}

const { vectors }: { vectors: Vector[] } = JSON.parse(
  readFileSync(new URL('./fixtures/heartbeat-vectors.json', import.meta.url), 'utf8'),
);

/** Octavia's words for a dropped datagram, with ours. */
const REASONS: Record<string, readonly Refusal[]> = {
  hmac: ['bad_hmac', 'too_short'],
  inflate: ['bad_inflate'],
  utf8: ['bad_utf8'],
  json: ['bad_json'],
  not_object: ['not_object'],
};

/** Vectors that Octavia takes and that we refuse, as heartbeat.md asks. */
const REFUSED: Record<string, Refusal> = {
  'json-nan': 'bad_json',
  'json-missing-id': 'bad_field',
  'json-ver-string': 'bad_field',
  'zlib-bomb-20m': 'too_large',
};

/** What was opened, with its status part read as well; its hash must be that of the status. */
function readable(opened: Opened | Refusal): object | Refusal {
  if (typeof opened === 'string') return opened;
  const { hash, body: text, ...rest } = opened;
  const status = statusOf(text);
  expect(hash).toEqual(statusHash(status ?? { listeners: {}, pools: {} }));
  return { ...rest, status };
}

const inflaters = { 'the kept zlib handle': new Inflater(), inflateSync: new Inflater(false) };

describe('Octavia’s datagrams', () => {
  it('are 76', () => expect(vectors).toHaveLength(76));

  for (const [how, inflater] of Object.entries(inflaters)) {
    for (const vector of vectors) {
      it(`open like there with ${how}: ${vector.name} (${vector.description})`, () => {
        const opened = new Opener([vector.key], inflater).open(Buffer.from(vector.packet_hex, 'hex'));
        if (vector.name in REFUSED) expect(opened).toBe(REFUSED[vector.name]);
        else if (vector.expect.accepted) expect(readable(opened)).toEqual(readHeartbeat(vector.expect.decoded ?? {}));
        else expect(REASONS[vector.expect.reason ?? '']).toContain(opened);
      });
    }
  }
});

describe('opening a datagram', () => {
  it('accepts two keys while one replaces the other', () => {
    const opener = new Opener(['new-key', 'old-key']);
    expect(opener.open(seal(body(1, 0), 'old-key'))).toMatchObject({ seq: 0 });
    expect(opener.open(seal(body(1, 1), 'new-key'))).toMatchObject({ seq: 1 });
    expect(opener.open(seal(body(1, 2), 'other-key'))).toBe('bad_hmac');
  });

  it('goes on after every kind of bad datagram', () => {
    const opener = new Opener([KEY]);
    const bad: [Buffer, Refusal][] = [
      [Buffer.alloc(31), 'too_short'],
      [Buffer.alloc(65_507, 1), 'bad_hmac'],
      [sealBytes(Buffer.from('no zlib')), 'bad_inflate'],
      [sealBytes(deflateSync(Buffer.from('cut short, cut short')).subarray(0, -5)), 'bad_inflate'],
      [sealBytes(deflateSync(Buffer.alloc(20_000_000))), 'too_large'],
      [sealBytes(deflateSync(Buffer.from([0x7b, 0xff, 0x7d]))), 'bad_utf8'],
      [sealBytes(deflateSync(Buffer.from('{'))), 'bad_json'],
      [seal([]), 'not_object'],
      [seal({}), 'bad_field'],
      [sealBytes(deflateSync(Buffer.from(`{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`))), 'too_large'],
    ];
    for (const [datagram, refusal] of bad) {
      expect(opener.open(datagram)).toBe(refusal);
      expect(opener.open(seal(body(1, 5)))).toMatchObject({ seq: 5 });
    }
  });

  it('takes a body of exactly the cap, and none above', () => {
    for (const inflater of Object.values(inflaters)) {
      expect(inflater.inflate(deflateSync(Buffer.alloc(1_048_576, 32)))).toHaveLength(1_048_576);
      expect(inflater.inflate(deflateSync(Buffer.alloc(1_048_577, 32)))).toBe('too_large');
    }
  });

  it('uses the quick way of this Node', () => expect(new Inflater().reusesHandle).toBe(true));

  it('will not open anything without a key', () => expect(() => new Opener([])).toThrowError(/key is needed/));
});

describe('the signature', () => {
  it('is the HMAC of Node for keys and messages of any length', () => {
    for (const keyLength of [0, 1, 63, 64, 65, 200]) {
      const key = 'k'.repeat(keyLength);
      const signature = new Signature(key);
      for (const length of [0, 1, 55, 56, 64, 65_443]) {
        const message = Buffer.alloc(length, length);
        const digest = createHmac('sha256', key).update(message).digest();
        expect(signature.endsInHex(Buffer.concat([message, Buffer.from(digest.toString('hex'))]))).toBe(true);
        expect(signature.endsInBytes(Buffer.concat([message, digest]))).toBe(true);
        expect(signature.endsInBytes(Buffer.concat([message, digest.fill(0)]))).toBe(false);
      }
    }
  });
});
