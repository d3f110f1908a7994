import { type LoadBalancerTree, OCTAVIA_PLATFORM } from '@octavia/domain';
import { describe, expect, it } from 'vitest';
import { renderHaproxy } from '../src/index.ts';
import { FACTS, healthMonitor, LB_ID, listener, member, pool, tree, uuid } from './trees.ts';

const AMPHORA = { id: uuid(9, 1), facts: FACTS };
const render = (whole: LoadBalancerTree) => renderHaproxy(whole, AMPHORA);

const web = pool(1);
const http = listener(1, { defaultPoolId: web.id });

describe('what a configuration contains', () => {
  it('leaves out disabled listeners and pools, and keeps disabled members as disabled', () => {
    const off = pool(2, { adminStateUp: false });
    const { text } = render(
      tree({
        listeners: [http, listener(2, { adminStateUp: false }), listener(3, { defaultPoolId: off.id })],
        pools: [web, off],
        members: [member(1, web.id, { adminStateUp: false }), member(2, off.id)],
        healthMonitors: [healthMonitor(1, web.id, { adminStateUp: false })],
      }),
    );
    expect(text).toContain(`server ${uuid(3, 1)} 10.20.0.11:80 weight 1 disabled\n`);
    expect(text).toContain(`frontend ${uuid(1, 3)}\n`);
    for (const absent of [uuid(1, 2), uuid(2, 2), uuid(3, 2), 'check', 'maxconn 150000'])
      expect(text).not.toContain(absent);
  });

  it('leaves out what is being deleted and what was refused at its creation, and keeps what was applied before', () => {
    const fault = { reason: 'REFUSED', message: '' };
    const { text, problems } = render(
      tree({
        listeners: [
          http,
          listener(2, { provisioningStatus: 'PENDING_DELETE' }),
          listener(3, { provisioningStatus: 'ERROR', appliedRevision: 0, fault }),
          listener(4, { provisioningStatus: 'ERROR', appliedRevision: 3, fault }),
          listener(5, { provisioningStatus: 'PENDING_CREATE', appliedRevision: 0 }),
          listener(6, { provisioningStatus: 'ERROR', fault: { reason: 'BAD_STORED_VALUE', message: '' } }),
        ],
        pools: [web],
        members: [member(1, web.id), member(2, web.id, { provisioningStatus: 'PENDING_DELETE' })],
      }),
    );
    const frontends = [...text.matchAll(/^frontend (.*)$/gm)].map(([, id]) => id);
    expect(frontends).toEqual([uuid(1, 1), uuid(1, 4), uuid(1, 5)]);
    expect(text).not.toContain(uuid(3, 2));
    expect(problems).toEqual([]);
  });

  it('orders by creation time, then by id, whatever the order given', () => {
    const at = new Date(5);
    const members = [
      member(3, web.id, { createdAt: at }),
      member(1, web.id, { createdAt: at }),
      member(2, web.id, { createdAt: new Date(9) }),
    ];
    const whole = tree({ listeners: [http], pools: [web], members });
    const servers = (text: string) => [...text.matchAll(/ {4}server (\S+)/g)].map(([, id]) => id);
    expect(servers(render(whole).text)).toEqual([uuid(3, 1), uuid(3, 3), uuid(3, 2)]);
    expect(render({ ...whole, members: members.toReversed() }).text).toBe(render(whole).text);
  });

  it('gives a pool under two listeners two backends', () => {
    const { text } = render(tree({ listeners: [http, listener(2, { defaultPoolId: web.id })], pools: [web] }));
    expect([...text.matchAll(/^backend (.*)$/gm)].map(([, name]) => name)).toEqual([
      `${web.id}:${http.id}`,
      `${web.id}:${uuid(1, 2)}`,
    ]);
  });

  it('binds nothing while the address of the load balancer is not known', () => {
    const lb = { vip: { address: null, subnetId: uuid(9, 2), networkId: null, portId: null } };
    const { text, problems } = render(tree({ listeners: [http], pools: [web] }, lb));
    expect(text).not.toContain('frontend');
    expect(problems).toEqual([]);
  });

  it('adds headers that are switched on, to HTTP listeners only', () => {
    const insertHeaders = { 'X-Forwarded-For': 'true', 'X-Forwarded-Port': 'True', 'X-Forwarded-Proto': 'true' };
    const off = { 'X-Forwarded-For': 'false', 'x-forwarded-proto': 'true', 'X-Evil': 'true' };
    const rendered = (over: object) =>
      render(tree({ listeners: [listener(1, { defaultPoolId: web.id, ...over })], pools: [web] })).text;
    const header = /forwardfor|set-header/;
    expect(rendered({ insertHeaders })).toContain(
      [
        '    option forwardfor',
        '    http-request set-header X-Forwarded-Port %[dst_port]',
        '    http-request set-header X-Forwarded-Proto http\n',
      ].join('\n'),
    );
    expect(rendered({ insertHeaders: off })).not.toMatch(header);
    expect(rendered({ insertHeaders, protocol: 'TCP' })).not.toMatch(header);
  });

  it('limits the whole process to the sum of its listeners, or to a million when that is too much', () => {
    const limit = (...limits: number[]) =>
      /maxconn (\d+)/.exec(
        render(tree({ listeners: limits.map((connectionLimit, n) => listener(n, { connectionLimit })) })).text,
      )?.[1];
    expect(limit(10, -1)).toBe('50010');
    expect(limit(999_999)).toBe('999999');
    expect(limit(500_000, 500_000)).toBe('1000000');
    expect(limit()).toBe('1000000');
  });
});

describe('what the amphora said of itself', () => {
  const on = (facts: Partial<typeof FACTS>, platform: Partial<typeof OCTAVIA_PLATFORM> = {}) =>
    renderHaproxy(
      tree({
        listeners: [http],
        pools: [web],
        members: [member(1, web.id)],
        healthMonitors: [healthMonitor(1, web.id)],
      }),
      { id: uuid(9, 1), facts: { ...FACTS, ...facts, platform: { ...OCTAVIA_PLATFORM, ...platform } } },
    ).text;

  it('decides on paths, user, log, port sharing and limits', () => {
    const local = {
      basePath: '/b',
      socketPath: '/s',
      user: null,
      logSocket: null,
      exclusiveBind: true,
      strictLimits: false,
      fastVrrp: false,
    };
    const text = on({}, local);
    expect(text.slice(0, text.indexOf('defaults'))).toBe(
      [
        `# Configuration for loadbalancer ${LB_ID}`,
        'global',
        '    daemon',
        `    stats socket /s/${LB_ID}.sock mode 0666 level user`,
        `    server-state-file /b/${LB_ID}/servers-state`,
        '    maxconn 50000',
        '    noreuseport',
        '    no strict-limits',
        '',
        '',
      ].join('\n'),
    );
    expect(text).not.toMatch(/\blog\b|log-format/);
  });

  it('leaves out what an old HAProxy does not know', () => {
    expect(on({ haproxyVersion: '1.5.18' })).not.toMatch(/server-state|http-reuse/);
    expect(on({ haproxyVersion: '1.6.0' })).toMatch(/server-state-file[\s\S]*http-reuse[\s\S]*load-server-state/);
  });

  it('pins threads when the profile of the image is active', () => {
    const pinned = on({ cpuCount: 4, activeTunedProfiles: ['virtual-guest', 'amphora'] });
    expect(pinned).toContain('    nbthread 3\n    cpu-map auto:1/1-3 1-3\n');
    expect(on({ cpuCount: 4, activeTunedProfiles: ['virtual-guest'] })).not.toContain('nbthread');
    expect(on({ cpuCount: 1, activeTunedProfiles: ['amphora'] })).not.toContain('nbthread');
  });

  it('is refused where it would break out of its line or its socket path', () => {
    const reason = { reason: 'AMPHORA_FACTS_INVALID' };
    for (const platform of [
      { basePath: '/a\nuser root' },
      { socketPath: 'relative' },
      { socketPath: `/${'x'.repeat(80)}` },
      { user: 'nobody\n' },
      { logSocket: '/log local0\n' },
    ]) {
      expect(() => on({}, platform)).toThrowError(expect.objectContaining(reason));
    }
    expect(() => on({ haproxyVersion: 'new' })).toThrowError(expect.objectContaining(reason));
  });

  it('can switch logging of connections off', () => {
    const { text } = renderHaproxy(tree({ listeners: [http], pools: [web] }), AMPHORA, [], {
      connectionLogging: false,
    });
    expect(text).toContain('defaults\n    no log\n');
    expect(text).not.toContain('log-format');
  });
});

describe('a stored value that cannot be written', () => {
  const problemOf = (over: Partial<LoadBalancerTree>) => {
    const whole = tree({ listeners: [http], pools: [web], ...over });
    const { text, problems } = render(whole);
    const [problem] = problems;
    expect(problems).toHaveLength(1);
    return { ...problem, text };
  };

  it('leaves a member out and keeps the rest of its pool', () => {
    const members = [member(1, web.id, { address: '10.0.0.1 weight 256' }), member(2, web.id)];
    const { text, ...problem } = problemOf({ members });
    expect(problem).toEqual({
      objectKind: 'member',
      objectId: uuid(3, 1),
      reason: 'BAD_STORED_VALUE',
      message: 'address must be an IP address. Correct it, or delete the object.',
    });
    expect(text).not.toContain(uuid(3, 1));
    expect(text).toContain(uuid(3, 2));
  });

  it('leaves a health monitor out and keeps its pool', () => {
    for (const over of [
      { urlPath: '/a\nbackend x' },
      { urlPath: '/a HTTP/1.1' },
      { urlPath: 'a' },
      { domainName: 'a%[env(HOME)]' },
      { expectedCodes: '200|.*' },
      { expectedCodes: '204-200' },
      { httpMethod: 'GET\n' },
      { delay: 0 },
      { maxRetries: 1.5 },
    ]) {
      const { text, objectKind } = problemOf({
        members: [member(1, web.id)],
        healthMonitors: [healthMonitor(1, web.id, over)],
      });
      expect(objectKind).toBe('health_monitor');
      expect(text).toContain(`server ${uuid(3, 1)} 10.20.0.11:80 weight 1\n`);
      expect(text).not.toContain('check');
    }
  });

  it('leaves a pool out and keeps its listener', () => {
    const broken = { ...web, sessionPersistence: { type: 'APP_COOKIE', cookieName: 'a)\n' } } as const;
    const { text, objectKind } = problemOf({ pools: [broken], members: [member(1, web.id)] });
    expect(objectKind).toBe('pool');
    expect(text).toContain(`frontend ${http.id}`);
    expect(text).not.toMatch(/backend/);
  });

  it('leaves a listener out, and one whose pool does not fit its protocol', () => {
    for (const over of [{ protocolPort: 0 }, { timeoutClientData: -1 }, { connectionLimit: 1.5 }, { id: 'x\ny' }]) {
      const { text, objectKind } = problemOf({ listeners: [{ ...http, ...over }] });
      expect(objectKind).toBe('listener');
      expect(text).not.toContain('frontend');
    }
    expect(problemOf({ pools: [{ ...web, protocol: 'TCP' }] }).message).toContain('default_pool_id');
  });

  it('reports what this release does not serve', () => {
    const reasonOf = (over: Partial<LoadBalancerTree>) => problemOf(over).reason;
    expect(reasonOf({ listeners: [listener(1, { protocol: 'UDP' })] })).toBe('UNSUPPORTED_BY_PROVIDER');
    expect(reasonOf({ pools: [{ ...web, lbAlgorithm: 'SOURCE_IP_PORT' }] })).toBe('UNSUPPORTED_BY_PROVIDER');
    expect(reasonOf({ healthMonitors: [healthMonitor(1, web.id, { type: 'SCTP' })] })).toBe('UNSUPPORTED_BY_PROVIDER');
  });

  it('writes a project id that is none as a dash in the log format', () => {
    const { text } = render(tree({ listeners: [http] }, { projectId: '%[env(HOME)] "x' }));
    expect(text).toContain(`log-format -\\ ${LB_ID}\\ %f`);
  });
});
