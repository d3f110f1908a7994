import { describe, expect, it } from 'vitest';
import { readHeartbeat } from './heartbeat.ts';

const ID = 'a0000000-0000-4000-8000-000000000001';
const stats = { tx: 1, rx: 2, conns: 3, totconns: 4, ereq: 5 };
const v3 = { id: ID, seq: 7, ver: 3, listeners: { l: { status: 'OPEN', stats } }, pools: {} };

describe('the body of a heartbeat', () => {
  it('is brought into one form', () => {
    expect(
      readHeartbeat({ ...v3, boot: 'b', pools: { 'p:l': { status: 'UP', members: { m: 'UP' } } }, more: [1] }),
    ).toEqual({
      amphoraId: ID,
      seq: 7,
      boot: 'b',
      status: { listeners: { l: 'OPEN' }, pools: { p: { status: 'UP', members: { m: 'UP' } } } },
      hasTotals: false,
      counters: [
        { listenerId: 'l', bytesIn: 2, bytesOut: 1, totalConnections: 4, requestErrors: 5, activeConnections: 3 },
      ],
    });
  });

  it('has totals before version 3, and differences from it on', () => {
    const totals = (ver: number | undefined) => {
      const message = readHeartbeat({ ...v3, ver });
      return typeof message === 'string' ? message : message.hasTotals;
    };
    expect([undefined, 0, 1, 2, 3, 4, 99].map(totals)).toEqual([true, true, true, true, false, false, false]);
  });

  it('cuts pool keys at the last colon, and the last of one pool wins', () => {
    const up = { status: 'UP', members: {} };
    const down = { status: 'DOWN', members: {} };
    const message = readHeartbeat({ ...v3, pools: { 'p:1': up, 'p:2': down, q: up, 'a:b:c': up } });
    expect(message).toMatchObject({ status: { pools: { p: down, q: up, 'a:b': up } } });
  });

  it('nests pools in listeners before version 2, where the first of one pool wins', () => {
    const of = (status: string) => ({ status: 'OPEN', pools: { p: { status, members: {} } } });
    for (const ver of [undefined, 1]) {
      const message = readHeartbeat({ id: ID, seq: 0, ver, listeners: { l: of('UP'), k: of('DOWN') } });
      expect(message).toMatchObject({ status: { pools: { p: { status: 'UP' } } } });
    }
  });

  it('cuts counts beyond 2^53 - 1, which JSON has rounded already', () => {
    const message = readHeartbeat({
      ...v3,
      seq: 2 ** 70,
      listeners: { l: { status: 'OPEN', stats: { ...stats, tx: 2 ** 63 } } },
    });
    expect(message).toMatchObject({ seq: Number.MAX_SAFE_INTEGER, counters: [{ bytesOut: Number.MAX_SAFE_INTEGER }] });
  });

  it('is refused when a field is not what it must be', () => {
    const withStats = (over: object) => ({ ...v3, listeners: { l: { status: 'OPEN', stats: { ...stats, ...over } } } });
    for (const body of [
      { ...v3, id: undefined },
      { ...v3, id: ID.toUpperCase() },
      { ...v3, id: `${ID}\n` },
      { ...v3, seq: -1 },
      { ...v3, seq: 1.5 },
      { ...v3, seq: '1' },
      { ...v3, seq: undefined },
      { ...v3, ver: '3' },
      { ...v3, ver: null },
      { ...v3, ver: 2.5 },
      { ...v3, listeners: [] },
      { ...v3, listeners: undefined },
      { ...v3, listeners: { l: null } },
      { ...v3, listeners: { l: { status: 1 } } },
      { ...v3, listeners: { l: { status: 'x'.repeat(81) } } },
      { ...v3, listeners: { ['l'.repeat(81)]: { status: 'OPEN' } } },
      { ...v3, pools: undefined },
      { ...v3, pools: { p: { status: 'UP' } } },
      { ...v3, pools: { p: { status: 'UP', members: { m: null } } } },
      withStats({ tx: -1 }),
      withStats({ rx: 0.5 }),
      withStats({ conns: '1' }),
      withStats({ ereq: undefined }),
    ]) {
      expect(readHeartbeat(body), JSON.stringify(body)).toBe('bad_field');
    }
  });

  it('is refused when it names more objects than a load balancer has', () => {
    const members = Object.fromEntries(Array.from({ length: 10_001 }, (_, n) => [`m${n}`, 'UP']));
    expect(readHeartbeat({ ...v3, pools: { p: { status: 'UP', members } } })).toBe('too_large');
  });

  it('may not reach the prototype of an object', () => {
    const body = JSON.parse(
      `{"id":"${ID}","seq":0,"ver":3,"listeners":{"__proto__":{"status":"OPEN"}},"pools":{"__proto__:l":{"status":"UP","members":{"__proto__":"UP"}}}}`,
    );
    const message = readHeartbeat(body);
    expect(message).toMatchObject({ amphoraId: ID });
    expect(({} as Record<string, unknown>).status).toBeUndefined();
  });
});
