import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { openHeartbeat } from '../../test/world/heartbeats.ts';
import { Counters } from './counters.ts';
import { sealHeartbeat } from './envelope.ts';
import { type HeartbeatMessage, heartbeatMessage, listenerReports, poolReports, totalsOf } from './message.ts';
import { parseCsv, type StatRow } from './statistics.ts';

interface Vector {
  readonly name: string;
  readonly key: string;
  readonly packet_hex: string;
  readonly decoded: HeartbeatMessage;
}

const file = join(import.meta.dirname, '../../test/fixtures/heartbeat-vectors.json');
const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: Vector[] };

/** The rows of `show stat` from which an agent would make this message, counters beginning at zero. */
function rowsOf({ listeners, pools }: HeartbeatMessage): StatRow[] {
  const frontends = Object.entries(listeners).map(([pxname, { status, stats }]) => {
    const { tx, rx, conns, totconns, ereq } = stats;
    const numbers = { bout: tx, bin: rx, scur: conns, stot: totconns, ereq };
    const columns = Object.entries(numbers).map(([name, value]) => [name, String(value)]);
    return { pxname, svname: 'FRONTEND', type: '0', status, ...Object.fromEntries(columns) };
  });
  const backends = Object.entries(pools).flatMap(([pxname, { status, members }]) => [
    ...Object.entries(members).map(([svname, text]) =>
      text === 'DRAIN'
        ? { pxname, svname, type: '2', status: 'UP', weight: '0' }
        : { pxname, svname, type: '2', status: text, weight: '1' },
    ),
    { pxname, svname: 'BACKEND', type: '1', status },
  ]);
  return [...frontends, ...backends];
}

const folders: string[] = [];
const counters = (from?: string) => {
  const folder = from ?? mkdtempSync(join(tmpdir(), 'counters-'));
  folders.push(folder);
  return { folder, counters: new Counters(join(folder, 'stats_counters.json')) };
};
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

describe('a heartbeat', () => {
  it.each(vectors.map((vector) => [vector.name, vector] as const))('says what the vector %s says', (_, vector) => {
    const { decoded, key } = vector;
    const rows = rowsOf(decoded);
    const deltas = counters().counters.advance(totalsOf({ worker: 1, rows }));
    const message = heartbeatMessage({
      id: decoded.id,
      seq: decoded.seq,
      listeners: listenerReports(rows, deltas),
      pools: poolReports(rows),
      boot: 'b',
      time: 1,
      monotonic: 2,
    });
    const opened = openHeartbeat(sealHeartbeat(message, key), key);
    expect(opened).toEqual({ ...decoded, boot: 'b', time: 1, monotonic: 2 });
    expect(openHeartbeat(Buffer.from(vector.packet_hex, 'hex'), key)).toEqual(decoded);
  });

  it('has no internal proxies and leaves other weights and states alone', () => {
    const rows: StatRow[] = [
      { pxname: 'prometheus-exporter-internal-endpoint', svname: 'FRONTEND', type: '0', status: 'OPEN' },
      { pxname: 'prometheus-exporter-internal', svname: 'BACKEND', type: '1', status: 'UP' },
      { pxname: 'p:l', svname: 'BACKEND', type: '1', status: 'UP' },
      { pxname: 'p:l', svname: 'going-down', type: '2', status: 'UP 1/2', weight: '0' },
      { pxname: 'p:l', svname: 'unchecked', type: '2', status: 'no check', weight: '0' },
    ];
    expect(totalsOf({ worker: 1, rows })).toEqual({});
    expect(poolReports(rows)).toEqual({
      'p:l': { status: 'UP', members: { 'going-down': 'UP 1/2', unchecked: 'no check' } },
    });
  });

  it('refuses to guess when a backend is not named pool:listener', () => {
    expect(() => poolReports([{ pxname: 'stats', svname: 'BACKEND', type: '1' }])).toThrow('not named');
  });
});

describe('counters', () => {
  const at = (worker: number, totconns: number) => ({ l: { worker, tx: totconns, rx: 0, totconns, ereq: 0 } });
  const connections = (deltas: Record<string, { totconns: number }>) => deltas.l?.totconns;

  it('give differences, and the total itself when it became smaller or another worker counted it', () => {
    const { counters: c } = counters();
    expect(connections(c.advance(at(1, 10)))).toBe(10);
    expect(connections(c.advance(at(1, 25)))).toBe(15);
    expect(connections(c.advance(at(1, 4)))).toBe(4);
    expect(connections(c.advance(at(2, 9)))).toBe(9);
  });

  it('remember a listener that did not answer once', () => {
    const { counters: c } = counters();
    c.advance(at(1, 10));
    c.advance({});
    expect(connections(c.advance(at(1, 12)))).toBe(2);
  });

  it('are kept in a file', () => {
    const { folder, counters: c } = counters();
    c.advance(at(1, 10));
    c.save();
    expect(connections(counters(folder).counters.advance(at(1, 11)))).toBe(1);
  });
});

describe('statistics of HAProxy', () => {
  it('may have commas and quotes in their texts', () => {
    expect(parseCsv('pxname,last_chk,type,\nf,"a ""b"", c",0,\ng,,2,\n')).toEqual([
      { pxname: 'f', last_chk: 'a "b", c', type: '0', '': '' },
      { pxname: 'g', last_chk: '', type: '2', '': '' },
    ]);
  });
});
