import { describe, expect, it } from 'vitest';
import { listener, member, pool, tree } from '../test/trees.ts';
import type { StatusReport } from './heartbeat.ts';
import type { LoadBalancerTree } from './objects.ts';
import { AMPHORAE_DISAGREE, listenerMismatch, operatingStatuses } from './operating-status.ts';
import type { OperatingStatus } from './status.ts';

const pair = tree(
  {},
  { listeners: [listener('l')], pools: [pool('p')], members: [member('m', 'p'), member('n', 'p')] },
);
const report = (m: string, n = 'UP', poolWord = 'UP'): StatusReport => ({
  listeners: { l: 'OPEN' },
  pools: { p: { status: poolWord, members: { m, n } } },
});
const NOW: [string, OperatingStatus][] = [
  ['lb', 'ONLINE'],
  ['l', 'ONLINE'],
  ['p', 'ONLINE'],
  ['m', 'ONLINE'],
  ['n', 'ONLINE'],
];

function changes(reports: readonly StatusReport[], whole: LoadBalancerTree = pair, now = NOW) {
  return operatingStatuses(whole, reports, new Map(now)).map(({ objectId, status, reason }) =>
    [objectId, status, reason].filter((part) => part !== null).join(' '),
  );
}

describe('a pair of amphorae', () => {
  it('changes nothing while no report is fresh', () => expect(changes([])).toEqual([]));

  it('takes the best of both reports, and is DEGRADED with the reason when they differ', () => {
    expect(changes([report('UP'), report('DOWN')])).toEqual([`lb DEGRADED ${AMPHORAE_DISAGREE}`]);
    expect(changes([report('DOWN'), report('UP')])).toEqual([`lb DEGRADED ${AMPHORAE_DISAGREE}`]);
    expect(changes([report('DOWN', 'DOWN', 'DOWN'), report('UP')])).toEqual([`lb DEGRADED ${AMPHORAE_DISAGREE}`]);
  });

  it('is ERROR, and no reason more, when both see the pool down', () => {
    const down = report('DOWN', 'DOWN', 'DOWN');
    expect(changes([down, down])).toEqual(['m ERROR', 'n ERROR', 'p ERROR', 'lb ERROR']);
  });

  it('is served by either of them when each reaches another member', () => {
    expect(changes([report('UP', 'DOWN'), report('DOWN', 'UP')])).toEqual([`lb DEGRADED ${AMPHORAE_DISAGREE}`]);
  });

  it('agrees where words differ but not what they mean', () => {
    expect(changes([report('UP'), report('UP 1/2')])).toEqual([]);
    expect(changes([report('UP'), report('RESTARTING')])).toEqual([]);
  });

  it('may disagree while a change is on its way to them', () => {
    const whole = { ...pair, loadBalancer: tree({ provisioningStatus: 'PENDING_UPDATE' }).loadBalancer };
    const behind: StatusReport = { listeners: {}, pools: {} };
    expect(changes([report('UP'), behind], whole)).toEqual([]);
    expect(changes([report('UP'), behind])).toEqual([`lb DEGRADED ${AMPHORAE_DISAGREE}`]);
  });

  it('is DEGRADED by a full listener or a member that both see down, without the reason', () => {
    expect(changes([report('DOWN'), report('DOWN')])).toEqual(['m ERROR', 'p DEGRADED', 'lb DEGRADED']);
    const full = { ...report('UP'), listeners: { l: 'FULL' } };
    expect(changes([full, full])).toEqual(['l DEGRADED', 'lb DEGRADED']);
  });
});

describe('a listener that a report lacks', () => {
  const without: StatusReport = { listeners: {}, pools: report('UP').pools };

  it('is in ERROR when it was there before', () => {
    expect(changes([without])).toEqual(['l ERROR']);
  });

  it('is OFFLINE while no report has named it: the report may be older than the listener', () => {
    expect(changes([without], pair, NOW.slice(2))).toEqual(['l OFFLINE', 'lb ONLINE']);
    expect(changes([without], pair, [['l', 'OFFLINE'], ...NOW.slice(2)])).toEqual(['lb ONLINE']);
  });
});

describe('objects that are not in the configuration', () => {
  it('are OFFLINE: a listener that was refused at its creation is not missing', () => {
    const refused = listener('r', {
      provisioningStatus: 'ERROR',
      appliedRevision: 0,
      fault: { reason: 'X', message: '' },
    });
    const whole = { ...pair, listeners: [listener('l'), refused] };
    expect(changes([report('UP')], whole)).toEqual(['r OFFLINE']);
    expect(listenerMismatch(whole, report('UP'))).toBeNull();
  });

  it('are not looked up in what every object inherits', () => {
    const odd = tree({}, { listeners: [listener('constructor')], pools: [pool('toString')] });
    const empty: StatusReport = { listeners: {}, pools: {} };
    expect(changes([empty], odd, [['lb', 'ONLINE']])).toEqual(['constructor OFFLINE', 'toString OFFLINE']);
  });
});

describe('a report that does not match the listeners', () => {
  const other: StatusReport = { listeners: { x: 'OPEN' }, pools: {} };

  it('names what is missing and what is unexpected, also when the number is right', () => {
    expect(listenerMismatch(pair, other)).toEqual({ missing: ['l'], unexpected: ['x'] });
    expect(listenerMismatch(pair, report('UP'))).toBeNull();
  });

  it('is not looked for while the load balancer is pending or disabled', () => {
    for (const lb of [{ provisioningStatus: 'PENDING_UPDATE' }, { adminStateUp: false }] as const) {
      expect(listenerMismatch({ ...pair, loadBalancer: { ...pair.loadBalancer, ...lb } }, other)).toBeNull();
    }
  });

  it('does not count a listener that is itself under way, there or not', () => {
    for (const provisioningStatus of ['PENDING_CREATE', 'PENDING_DELETE'] as const) {
      const whole = { ...pair, listeners: [listener('l'), listener('x', { provisioningStatus })] };
      expect(listenerMismatch(whole, report('UP'))).toBeNull();
      expect(listenerMismatch(whole, { ...other, listeners: { l: 'OPEN', x: 'OPEN' } })).toBeNull();
    }
  });
});
