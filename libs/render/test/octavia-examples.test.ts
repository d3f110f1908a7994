/** The examples are what Octavia's own renderer writes. White space is free, except where the agent parses it. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { peerName, renderAgentConfig, renderHaproxy } from '../src/index.ts';
import { FACTS, readExample } from './trees.ts';

function normalised(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/ +/g, ' ').trim())
    .filter((line) => line !== '');
}

describe('a rendering on the platform of Octavia', () => {
  for (const name of [
    '01-http-basic',
    '02-tcp-no-monitor',
    '03-https-passthrough',
    '10-session-persistence-single',
    '11-active-standby-peers',
    '12-health-monitors-all',
    '17-lb-disabled',
  ]) {
    it(`equals Octavia's for ${name}`, () => {
      const { tree, amphoraId, peers, cfg } = readExample(name);
      const { text, problems } = renderHaproxy(tree, { id: amphoraId, facts: FACTS }, peers);
      expect(normalised(text)).toEqual(normalised(cfg));
      expect(problems).toEqual([]);
    });
  }

  it("equals Octavia's for 09-proxy-v1-v2, whose TERMINATED_HTTPS listener is left out and reported", () => {
    const { tree, amphoraId, cfg } = readExample('09-proxy-v1-v2');
    const { text, problems } = renderHaproxy(tree, { id: amphoraId, facts: FACTS });
    const withoutTls = cfg.slice(0, cfg.lastIndexOf('frontend ')).replace('maxconn 150000', 'maxconn 100000');
    expect(normalised(text)).toEqual(normalised(withoutTls));
    expect(problems).toEqual([
      {
        objectKind: 'listener',
        objectId: '10000000-0000-4000-8000-000000000003',
        reason: 'UNSUPPORTED_BY_PROVIDER',
        message: 'protocol TERMINATED_HTTPS is not served by amphorae.',
      },
    ]);
  });

  it("equals Octavia's for 13-allowed-cidrs-limits-timeouts, but for the additional VIPs, which do not exist here", () => {
    const { tree, amphoraId, cfg } = readExample('13-allowed-cidrs-limits-timeouts');
    const { text } = renderHaproxy(tree, { id: amphoraId, facts: FACTS });
    const oneVip = normalised(cfg).filter((line) => !/^bind (10\.11\.|2001:)/.test(line));
    expect(normalised(text)).toEqual(oneVip);
  });

  it('writes the path of a monitor itself where Octavia writes HTML for it (08-html-escaping)', () => {
    const { tree, amphoraId, cfg } = readExample('08-html-escaping');
    const { text } = renderHaproxy(tree, { id: amphoraId, facts: FACTS });
    const backend = (whole: string) => normalised(whole.slice(whole.indexOf('backend ')));
    expect(backend(text)).toEqual(backend(cfg.replaceAll('&amp;', '&')));
  });
});

describe('the names of peers', () => {
  // Source: known pairs of Octavia's own function; the agent computes the same.
  for (const [id, name] of [
    ['a0000000-0000-4000-8000-000000000001', 'EgwPta0_x0RB6fH4DP3QWp2iR3I'],
    ['a0000000-0000-4000-8000-000000000002', 'k5M62AL1BUwcM-QDvGUDPkE0N18'],
    ['87b0b125-ec1d-4da0-a6eb-8c9ebd69fe29', 'GkbhpNCTPk0NDI_5z4lwKI4Pgg4'],
    ['617959ce-3f1f-45a8-9e52-71007814e8a2', 'Rb0MArSKv6XT2nSE2zeFQ-SwQ5o'],
    ['3fd42359-92ed-4f45-9a1a-fe878b33e968', '2o7pp-txFosHuIf-W5C6S_Vxc0Y'],
    ['9621787d-28f7-4587-b212-c44f07123c8d', 'x1b3xSHpSG0Qh95zilHjJPHbeFg'],
    ['e577bb8d-7b66-44c0-887c-b8023c33f4fa', 'xPM3oxKAl9znxGHG1YIzSr1M2BA'],
    ['c6a53877-7733-4bdb-9721-0dff076ce2ef', 'SnxLxKCRhDHz6sV7lMJx1BJzt2w'],
  ] as const) {
    it(`are those of the agent: ${id} is ${name}`, () => expect(peerName(id)).toBe(name));
  }
});

describe('the configuration of the agent', () => {
  const example = {
    amphoraId: 'a0000000-0000-4000-8000-000000000001',
    topology: 'ACTIVE_STANDBY',
    controllerIpPortList: ['192.0.2.1:5555', '[2001:db8::1]:5555'],
    heartbeatKey: 'insecure-heartbeat-key',
  } as const;

  it("equals Octavia's for 50-amphora-agent-conf", () => {
    const cfg = readFileSync(new URL('./fixtures/50-amphora-agent-conf.cfg', import.meta.url), 'utf8');
    expect(normalised(renderAgentConfig(example))).toEqual(normalised(cfg));
  });

  it('takes fractions of a second between heartbeats, keys that HTML would escape, and further keys', () => {
    const text = renderAgentConfig({
      ...example,
      heartbeatIntervalMs: 200,
      heartbeatKey: `a&b<c>'d"`,
      extra: { haproxy_amphora: { run_path: '/run/x' }, local: { loopback: true } },
    });
    expect(text).toContain('heartbeat_interval = 0.2\n');
    expect(text).toContain(`heartbeat_key = a&b<c>'d"\n`);
    expect(text).toContain('administrative_log_facility = 1\nrun_path = /run/x\n');
    expect(text).toContain('[local]\nloopback = True\n');
  });

  for (const key of ['', 'a$b', 'a\nb', 'a\u0000', 'a\u0085b', ' a', 'a ', '"ab"', "'ab'"]) {
    it(`refuses the heartbeat key ${JSON.stringify(key)} without telling it`, () => {
      const render = () => renderAgentConfig({ ...example, heartbeatKey: key });
      expect(render).toThrowError(expect.objectContaining({ reason: 'AGENT_SETTING_INVALID' }));
      expect(render).toThrowError(/health_manager\.heartbeat_key cannot be written/);
    });
  }

  it('refuses a line feed in any other value, in a key and in the name of a section', () => {
    expect(() => renderAgentConfig({ ...example, basePath: '/a\n[x]' })).toThrowError(/base_path/);
    expect(() => renderAgentConfig({ ...example, controllerIpPortList: ['1.2.3.4:5\nx = y'] })).toThrowError();
    expect(() => renderAgentConfig({ ...example, extra: { 'a]\n[b': { c: 1 } } })).toThrowError(/section/);
    expect(() => renderAgentConfig({ ...example, extra: { a: { 'c = 1\nd': 1 } } })).toThrowError(/key/);
  });
});
