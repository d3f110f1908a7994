/** Random trees, and a real HAProxy to read what becomes of them. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { HealthMonitor, Listener, LoadBalancerTree, Member, Pool } from '@octavia/domain';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CAPABILITIES, POOL_PROTOCOLS_OF_LISTENER, peerName, renderHaproxy } from '../src/index.ts';
import { FACTS, healthMonitor, listener, member, pool, tree, uuid } from './trees.ts';

const AMPHORA = { id: uuid(9, 1), facts: FACTS };
const PEERS = [
  { id: uuid(9, 1), vrrpIp: '10.0.0.1' },
  { id: uuid(9, 2), vrrpIp: '2001:db8::2' },
];

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'render-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What HAProxy says against a file; empty when it accepts it. */
async function refusal(text: string): Promise<string> {
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(file, text);
  const run = promisify(execFile)('haproxy', ['-c', '-L', peerName(AMPHORA.id), '-f', file]);
  return run.then(
    () => '',
    (error: { stderr?: string; message: string }) => error.stderr || error.message,
  );
}

const oneOf = <T>(values: readonly T[]) => fc.constantFrom(...values);
const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}$/);
const cookieName = fc.oneof(fc.constant('group'), token);
const urlPath = fc.oneof(
  fc.constantFrom('/', '/*', '/group', '/a\\b#c', `/it's"so"`, '/$HOME?a=1&b=2', '/%20%[src]'),
  fc.stringMatching(/^\/[\x21-\x7e]{0,40}$/),
);
const address = fc.oneof(fc.ipV4(), fc.constantFrom('::1', '2001:db8::20', 'fe80::1'));
const timeout = fc.integer({ min: 0, max: 2_073_600_000 });

const listenerFields: fc.Arbitrary<Partial<Listener>> = fc.record({
  protocol: oneOf(CAPABILITIES.listenerProtocols),
  connectionLimit: fc.oneof(fc.constant(-1), fc.integer({ min: 1, max: 1_000_000 })),
  adminStateUp: fc.boolean(),
  timeoutClientData: timeout,
  timeoutMemberConnect: timeout,
  timeoutMemberData: timeout,
  timeoutTcpInspect: timeout,
  insertHeaders: fc.dictionary(
    oneOf(['X-Forwarded-For', 'X-Forwarded-Port', 'X-Forwarded-Proto']),
    oneOf(['true', 'false']),
  ),
});
const poolFields: fc.Arbitrary<Partial<Pool>> = fc.record({
  protocol: oneOf(CAPABILITIES.poolProtocols),
  lbAlgorithm: oneOf(CAPABILITIES.lbAlgorithms),
  sessionPersistence: fc.option(fc.record({ type: oneOf(CAPABILITIES.sessionPersistenceTypes), cookieName }), {
    freq: 2,
  }),
});
const memberFields: fc.Arbitrary<Partial<Member>> = fc.record({
  address,
  protocolPort: fc.integer({ min: 1, max: 65_535 }),
  weight: fc.integer({ min: 0, max: 256 }),
  backup: fc.boolean(),
  adminStateUp: fc.boolean(),
  monitorAddress: fc.option(address),
  monitorPort: fc.option(fc.integer({ min: 1, max: 65_535 })),
});
const monitorFields: fc.Arbitrary<Partial<HealthMonitor>> = fc.record({
  type: oneOf(CAPABILITIES.healthMonitorTypes),
  delay: fc.integer({ min: 1, max: 3600 }),
  timeout: fc.integer({ min: 1, max: 3600 }),
  maxRetries: fc.integer({ min: 1, max: 10 }),
  maxRetriesDown: fc.integer({ min: 1, max: 10 }),
  httpMethod: oneOf(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'OPTIONS', 'CONNECT', 'PATCH']),
  urlPath,
  expectedCodes: oneOf(['200', '200,202', '200-204', '100-599']),
  httpVersion: oneOf(['1.0', '1.1', null] as const),
  domainName: fc.option(fc.constantFrom('group', 'app.example.com', 'a-b_c.d')),
});

const branch = fc.record({
  listener: listenerFields,
  pool: poolFields,
  members: fc.array(memberFields, { maxLength: 3 }),
  monitor: fc.option(monitorFields, { freq: 3 }),
});

/** A tree that the API would have accepted. */
const validTree: fc.Arbitrary<LoadBalancerTree> = fc
  .record({ branches: fc.array(branch, { maxLength: 6 }), pair: fc.boolean(), vip: address })
  .map(({ branches, pair, vip }) => {
    const parts = branches.map((given, n) => {
      const one = pool(n, given.pool);
      const frontend = listener(n, given.listener);
      const fits = POOL_PROTOCOLS_OF_LISTENER[frontend.protocol]?.includes(one.protocol);
      return {
        listener: { ...frontend, defaultPoolId: fits ? one.id : null },
        pool: one,
        members: given.members.map((fields, m) => member(n * 10 + m, one.id, fields)),
        monitors: given.monitor ? [healthMonitor(n, one.id, given.monitor)] : [],
      };
    });
    return tree(
      {
        listeners: parts.map((part) => part.listener),
        pools: parts.map((part) => part.pool),
        members: parts.flatMap((part) => part.members),
        healthMonitors: parts.flatMap((part) => part.monitors),
      },
      {
        topology: pair ? 'ACTIVE_STANDBY' : 'SINGLE',
        vip: { address: vip, subnetId: uuid(9, 3), networkId: null, portId: null },
      },
    );
  });

/** Words of a line as HAProxy reads them. */
function words(line: string): string[] {
  const found: string[] = [];
  for (const [word] of line.matchAll(/(?:\\.|[^\\\s])+/g)) found.push(word.replace(/\\(.)/g, '$1'));
  return found;
}

describe('the rendering of any valid tree', () => {
  it('is accepted by HAProxy, has no problems, and survives the clean-up of the agent', async () => {
    await fc.assert(
      fc.asyncProperty(validTree, async (whole) => {
        const { text, problems } = renderHaproxy(whole, AMPHORA, PEERS);
        expect(problems).toEqual([]);
        expect(text.replace(/\s+group\s.+/g, '')).toBe(text);
        expect(await refusal(text)).toBe('');
      }),
      { numRuns: 120 },
    );
  }, 120_000);

  it('says to HAProxy exactly what is stored', () => {
    fc.assert(
      fc.property(urlPath, (path) => {
        const web = pool(1);
        const monitor = healthMonitor(1, web.id, { urlPath: path, httpVersion: '1.1', domainName: 'group' });
        const { text } = renderHaproxy(
          tree({ listeners: [listener(1, { defaultPoolId: web.id })], pools: [web], healthMonitors: [monitor] }),
          AMPHORA,
        );
        const lines = text.split('\n');
        const line = (start: string) => words(lines.find((one) => one.includes(start)) ?? '');
        expect(line('option httpchk')).toEqual(['option', 'httpchk', 'GET', path, 'HTTP/1.1']);
        expect(line('send hdr')).toEqual(['http-check', 'send', 'hdr', 'Host', 'group']);
      }),
    );
  });
});

describe('text of any kind in any field', () => {
  // One pattern for each directive of a frontend, a backend and what is before them; anything else would be smuggled in.
  const DIRECTIVES = [
    /^# Configuration for loadbalancer [0-9a-f-]{36}$/,
    /^(global|defaults)$/,
    /^(frontend [0-9a-f-]{36}|backend [0-9a-f-]{36}:[0-9a-f-]{36})$/,
    /^ {4}(daemon|user nobody|log global|retries 3|option (redispatch|splice-request|splice-response|http-keep-alive))$/,
    /^ {4}log \/run\/rsyslog\/octavia\/log local[01]( notice)?$/,
    /^ {4}stats socket \/var\/lib\/octavia\/[0-9a-f-]{36}\.sock mode 0666 level user$/,
    /^ {4}server-state-file \/var\/lib\/octavia\/[0-9a-f-]{36}\/servers-state$/,
    /^ {4}(maxconn|fullconn|timeout client|timeout connect|timeout server|tcp-request inspect-delay) \d+$/,
    /^ {4}bind [0-9a-f.:]+:\d+$/,
    /^ {4}(mode (http|tcp)|http-reuse safe|option allbackups|option forwardfor|balance (roundrobin|leastconn|source))$/,
    /^ {4}default_backend [0-9a-f-]{36}:[0-9a-f-]{36}$/,
    /^ {4}log-format [A-Za-z0-9_.-]+\\ [0-9a-f-]{36}\\ %f\\ [^ ]+(\\ [^ ]+)*$/,
    /^ {4}(load-server-state-from-file global|timeout check \d+s|http-check expect rstatus \d{3}(\|\d{3})*)$/,
    /^ {4}option httpchk [A-Z]+ \/(\\.|[^\s\\#'"])*( HTTP\/1\.[01])?$/,
    /^ {4}http-check send hdr Host [\\A-Za-z0-9._-]+$/,
    /^ {4}http-request set-header X-Forwarded-(Port %\[dst_port\]|Proto http)$/,
    /^ {4}(stick-table type (ipv6|string len 64) size 10k|stick on src|cookie SRV insert indirect nocache)$/,
    /^ {4}stick (store-response res|match req)\.cook\((\\.|[^\s\\#'"()])+\)$/,
    /^ {4}server [0-9a-f-]{36} [0-9a-f.:]+:\d+ weight \d+( (check( check-ssl verify none)? inter \d+s fall \d+ rise \d+( addr [0-9a-f.:[\]]+)?( port \d+)?|cookie [0-9a-f-]{36}|send-proxy|send-proxy-v2|backup|disabled))*$/,
    /^$/,
  ];
  const evil = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc
      .constantFrom('\n', ' ', '\\', '"', "'", '#', '$', '%', '\u0085', '\u2028', '\0')
      .chain((character) =>
        fc.tuple(fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 })).map(([a, b]) => `/${a}${character}${b}`),
      ),
    fc.constant('10.0.0.1\n    server x 1.2.3.4:5'),
    fc.constant('group'),
  );

  it('adds no directive, and no control character', () => {
    fc.assert(
      fc.property(fc.array(evil, { minLength: 16, maxLength: 16 }), fc.boolean(), (texts, keepsIds) => {
        const text = (n: number) => texts[n] ?? '';
        const id = (n: number, good: string) => (keepsIds ? good : text(n));
        const web = pool(1, {
          id: id(0, uuid(2, 1)),
          sessionPersistence: { type: 'APP_COOKIE', cookieName: text(1) },
        });
        const whole = tree(
          {
            listeners: [
              listener(1, { id: id(2, uuid(1, 1)), defaultPoolId: web.id, insertHeaders: { [text(3)]: text(4) } }),
            ],
            pools: [web, pool(2)],
            members: [
              member(1, web.id, { id: id(5, uuid(3, 1)), address: text(6), name: text(7) }),
              member(2, web.id, { monitorAddress: text(8) }),
            ],
            healthMonitors: [
              healthMonitor(1, web.id, {
                httpMethod: text(9),
                urlPath: text(10),
                expectedCodes: text(11),
                domainName: text(12),
              }),
              healthMonitor(2, uuid(2, 2), { urlPath: text(10), httpVersion: '1.1', domainName: text(12) }),
            ],
          },
          { projectId: text(13), name: text(14), description: text(15) },
        );
        const second = listener(2, { defaultPoolId: uuid(2, 2) });
        const rendered = renderHaproxy({ ...whole, listeners: [...whole.listeners, second] }, AMPHORA).text;
        for (const line of rendered.slice(0, -1).split('\n')) {
          expect(DIRECTIVES.some((directive) => directive.test(line)) ? '' : line).toBe('');
        }
        expect(rendered.replace(/\s+group\s.+/g, '')).toBe(rendered);
      }),
      { numRuns: 1000 },
    );
  });
});
