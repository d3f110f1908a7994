import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { peerName } from './peer-name.ts';
import { readShowProc } from './show-proc.ts';
import { HaproxyTextError, readHaproxyText } from './text.ts';

const example = (name: string) => readFileSync(join(import.meta.dirname, '../../test/fixtures', `${name}.cfg`), 'utf8');
const AMPHORA = 'a0000000-0000-4000-8000-000000000001';

describe('reading a configuration of the controller', () => {
  it('finds the statistics socket, the listener, its type and its address', () => {
    expect(readHaproxyText(example('01-http-basic'), 'peer')).toEqual({
      statsSocket: '/var/lib/octavia/b0000000-0000-4000-8000-000000000001.sock',
      frontends: [{ id: '10000000-0000-4000-8000-000000000001', type: 'HTTP' }],
      addresses: [{ host: '10.10.0.5', port: 80 }],
      vips: ['10.10.0.5'],
    });
  });

  it('calls a listener with a certificate list TERMINATED_HTTPS', () => {
    const [frontend] = readHaproxyText(example('05-terminated-https-sni-client-auth'), 'peer').frontends;
    expect(frontend?.type).toBe('TERMINATED_HTTPS');
  });

  it('counts the peers port of this amphora, and not that of the other one', () => {
    const { addresses } = readHaproxyText(example('11-active-standby-peers'), peerName(AMPHORA));
    expect(addresses).toContainEqual({ host: '10.10.0.11', port: 1025 });
    expect(addresses).not.toContainEqual({ host: '10.10.0.12', port: 1025 });
  });

  it('hides internal proxies, but not their ports', () => {
    const { frontends, addresses } = readHaproxyText(example('18-prometheus'), 'peer');
    expect(frontends.map(({ id }) => id)).toEqual([
      '10000000-0000-4000-8000-000000000001',
      '10000000-0000-4000-8000-000000000002',
    ]);
    expect(addresses).toContainEqual({ host: '127.0.0.1', port: 9101 });
  });

  it('reads IPv6 addresses without brackets', () => {
    const text = 'global\n    stats socket /s\nfrontend f\n    bind 2001:db8::5:80\n    mode tcp\n';
    expect(readHaproxyText(text, 'peer').addresses).toEqual([{ host: '2001:db8::5', port: 80 }]);
  });

  it.each([
    ['global\n', 'stats socket'],
    ['global\n    stats socket /a\n    stats socket /b\n', 'not 2'],
    [
      'global\n    stats socket /a\nfrontend f\n    bind 127.0.0.1:80\nbackend b\n    mode http\n',
      'Frontend f has no line',
    ],
  ])('refuses a text that it could not supervise: %j', (text, message) => {
    expect(() => readHaproxyText(text, 'peer')).toThrow(HaproxyTextError);
    expect(() => readHaproxyText(text, 'peer')).toThrow(message);
  });
});

describe('the peer name', () => {
  it.each([
    [AMPHORA, 'EgwPta0_x0RB6fH4DP3QWp2iR3I'],
    ['617959ce-3f1f-45a8-9e52-71007814e8a2', 'Rb0MArSKv6XT2nSE2zeFQ-SwQ5o'],
    ['3fd42359-92ed-4f45-9a1a-fe878b33e968', '2o7pp-txFosHuIf-W5C6S_Vxc0Y'],
    ['9621787d-28f7-4587-b212-c44f07123c8d', 'x1b3xSHpSG0Qh95zilHjJPHbeFg'],
  ])('of %s is the one that the controller computes', (id, name) => {
    expect(peerName(id)).toBe(name);
  });
});

describe('reading the process list of a master', () => {
  it('tells current workers from old ones, and failed reloads', () => {
    const head = '#<PID>          <type>          <reloads>       <uptime>        <version>      \n';
    const answer = `${head}7606            master          2 [failed: 1]   0d00h00m03s     2.6.12\n# workers\n7660            worker          1               0d00h00m03s     2.6.12\n# old workers\n7609            worker          3               0d00h00m03s     2.6.12\n# programs\n\n`;
    expect(readShowProc(answer)).toEqual({ reloads: 2, failed: 1, workers: [7660] });
    expect(readShowProc('')).toBeNull();
  });
});
