import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeMutable, parseTargets, readConfig } from './config.ts';
import { formatIni, IniError, parseIni } from './ini.ts';

const sample = readFileSync(join(import.meta.dirname, '../test/fixtures/50-amphora-agent-conf.cfg'), 'utf8');

describe('reading an INI file', () => {
  it('takes both separators, comments, continued lines and quotes as oslo.config does', () => {
    const ini = parseIni('debug = True\n# no\n[a]\nx: 1\ny = "q = r"\nz = one\n   two\n; no\n\nempty =\n');
    expect(ini.get('DEFAULT')).toEqual(new Map([['debug', 'True']]));
    expect([...(ini.get('a') ?? [])]).toEqual([
      ['x', '1'],
      ['y', 'q = r'],
      ['z', 'one\ntwo'],
      ['empty', ''],
    ]);
  });

  it('leaves a dollar in a value alone', () => {
    expect(parseIni('[h]\nkey = a$b').get('h')?.get('key')).toBe('a$b');
  });

  it.each([
    ['just text', 'Line 1'],
    ['a = 1\n[b', 'Line 2'],
    ['= 1', 'Line 1'],
    ['x'.repeat(70_000), 'more than'],
  ])('refuses %.12s and says where', (text, message) => {
    expect(() => parseIni(text)).toThrow(IniError);
    expect(() => parseIni(text)).toThrow(message);
  });

  it('reads what it writes', () => {
    const ini = parseIni(sample);
    expect(parseIni(formatIni(ini))).toEqual(ini);
    expect(formatIni(ini)).toContain('base_cert_dir = /var/lib/octavia/certs\n');
  });
});

describe('the configuration', () => {
  it('of an Octavia amphora is understood, with our keys at their defaults', () => {
    expect(readConfig(parseIni(sample))).toMatchObject({
      amphoraId: 'a0000000-0000-4000-8000-000000000001',
      basePath: '/var/lib/octavia',
      socketPath: '/var/lib/octavia',
      bindHost: '::',
      bindPort: 9443,
      heartbeatTargets: [
        { host: '192.0.2.1', port: 5555 },
        { host: '2001:db8::1', port: 5555 },
      ],
      heartbeatIntervalMs: 10_000,
      topology: 'ACTIVE_STANDBY',
      requestTimeoutMs: 180_000,
      exclusiveBind: true,
      strictLimits: false,
      logSocket: null,
    });
  });

  it('may have an interval of a part of a second, but not of none', () => {
    const withInterval = (value: string) =>
      parseIni(sample.replace('heartbeat_interval = 10', `heartbeat_interval = ${value}`));
    expect(readConfig(withInterval('0.2')).heartbeatIntervalMs).toBe(200);
    for (const bad of ['0', '-1', 'NaN', '1e9', '99999'])
      expect(() => readConfig(withInterval(bad))).toThrow('heartbeat_interval must be a number');
  });

  it('refuses a socket folder that is too long for unix sockets', () => {
    const ini = parseIni(`${sample}\n[octavia_controller]\nsocket_path = /${'x'.repeat(60)}\n`);
    expect(() => readConfig(ini)).toThrow('socket_path must have at most 48 bytes');
  });

  it('stops reading targets at the first entry without a port', () => {
    expect(parseTargets('10.0.0.1:5555, nonsense, 10.0.0.2:5555')).toEqual([{ host: '10.0.0.1', port: 5555 }]);
    expect(parseTargets('10.0.0.1:70000')).toEqual([]);
  });

  it('takes only the mutable keys of a new file', () => {
    const wanted = parseIni('[health_manager]\nheartbeat_key = new\n[haproxy_amphora]\nbase_path = /elsewhere\n');
    const config = readConfig(mergeMutable(parseIni(sample), wanted));
    expect(config).toMatchObject({ heartbeatKey: 'new', basePath: '/var/lib/octavia', heartbeatIntervalMs: 10_000 });
  });
});
