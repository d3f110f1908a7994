import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { Amphora, Event, Flow, FlowStep, Statistics, SystemStatus } from '@octavia/proto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { activeLoadBalancer, childrenOf, Refusal, World } from './world.ts';

let world: World;
let lb: ReturnType<typeof activeLoadBalancer>;
let children: ReturnType<typeof childrenOf>;

beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());
beforeEach(() => {
  world.calls.length = 0;
  world.objects.clear();
  world.overrides.clear();
  lb = world.put(activeLoadBalancer());
  children = childrenOf(lb);
  world.put(children.listener);
});

const flow = (values: Partial<Flow> = {}) =>
  Flow.create({
    id: '0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2c',
    name: 'amphora.failover',
    state: 'FLOW_STATE_RUNNING',
    loadBalancerId: lb.id,
    step: 'plug_vip',
    attempt: 2,
    waitingFor: 'amphora to answer',
    lastError: { reason: 'AGENT_UNREACHABLE', message: 'It does not answer.' },
    ...values,
  });
const event = (message: string, number = 1n) =>
  Event.create({
    cursor: `c${number}`,
    message,
    number,
    loadBalancerId: lb.id,
    happenedAt: new Date('2026-11-20T10:00:00Z'),
  });

describe('flows', () => {
  it('are listed by load balancer, state and openness', async () => {
    world.overrides.set('listFlows', () => ({ flows: [flow()], nextPageToken: '' }));
    expect(await world.json('flow list --loadbalancer web --state running --open -c name -c last_error')).toEqual([
      { name: 'amphora.failover', last_error: 'It does not answer. [AGENT_UNREACHABLE]' },
    ]);
    expect(world.request('listFlows')).toMatchObject({
      loadBalancerId: lb.id,
      state: 'FLOW_STATE_RUNNING',
      openOnly: true,
      pageSize: 100,
    });
  });

  it('are shown with their steps', async () => {
    const step = FlowStep.create({ name: 'plug_vip', state: 'FLOW_STEP_STATE_STARTED', attempts: 2 });
    world.overrides.set('getFlow', () => flow({ steps: [step] }));
    expect((await world.json(`flow show ${flow().id}`)).steps).toMatchObject([{ name: 'plug_vip', state: 'STARTED' }]);
    expect((await world.run(`flow show ${flow().id}`)).out).toMatch(/\| plug_vip \| STARTED \| 2 /);
  });

  it('are watched line by line, to the end', async () => {
    world.overrides.set('watchFlows', () => [
      flow(),
      flow({ state: 'FLOW_STATE_SUCCEEDED', finishedAt: new Date(), lastError: undefined }),
    ]);
    const { code, out } = await world.run(`flow watch ${flow().id}`);
    expect([code, out.trim().split('\n')]).toEqual([
      0,
      [
        `amphora.failover ${lb.id}: RUNNING, step plug_vip (attempt 2), waiting for amphora to answer, last error: It does not answer. [AGENT_UNREACHABLE]`,
        `amphora.failover ${lb.id}: SUCCEEDED`,
      ],
    ]);
  });

  it('are cancelled and tried again', async () => {
    world.overrides.set('cancelFlow', ({ id }) => flow({ id, stopRequested: 'CANCELLED' }));
    expect(await world.json('flow cancel f1')).toMatchObject({ id: 'f1', stop_requested: 'CANCELLED' });
    world.overrides.set('retryFlow', () => {
      throw new Refusal(status.FAILED_PRECONDITION, 'FLOW_ENDED', 'Flow f1 has ended.');
    });
    const { code, err } = await world.run('flow retry f1');
    expect([code, err]).toEqual([1, 'error: Flow f1 has ended. [FLOW_ENDED]\n']);
  });
});

describe('events', () => {
  it('are told to people as sentences, oldest first, and to programs whole', async () => {
    world.overrides.set('listEvents', ({ before }) =>
      before === ''
        ? { events: [event('Third.', 3n), event('Second.', 2n)], nextCursor: 'c2', endCursor: 'end' }
        : { events: [event('First.', 1n)], nextCursor: '', endCursor: '' },
    );
    const { out } = await world.run('events web -f value -c happened_at -c message');
    expect(out).toBe('2026-11-20T10:00:00 First.\n2026-11-20T10:00:00 Second.\n2026-11-20T10:00:00 Third.\n');
    expect(world.request('listEvents')).toMatchObject({ loadBalancerId: lb.id, newestFirst: true, before: 'c2' });
    expect((await world.json('events')).length).toBe(3);
  });

  it('go on after the last one, over a lost connection, from where they were', async () => {
    world.overrides.set('listEvents', () => ({ events: [event('First.')], nextCursor: '', endCursor: 'end' }));
    let times = 0;
    world.overrides.set('watchEvents', function* ({ after }) {
      times += 1;
      yield event(`After ${after}.`, BigInt(times + 1));
      if (times === 1) throw new Refusal(status.UNAVAILABLE, 'SERVICE_STOPPING', 'Call again.');
    });
    const { code, out, err } = await world.run('events web --follow');
    expect([code, err]).toEqual([0, 'The controller does not answer; trying again.\n']);
    expect(out.match(/ {2}(.*)/g)).toEqual(['  First.', '  After end.', '  After c2.']);
  });

  it('of a deleted load balancer are found by its id', async () => {
    world.overrides.set('listEvents', () => ({ events: [], nextCursor: '', endCursor: '' }));
    const id = '0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2c';
    expect(await world.json(`events ${id}`)).toEqual([]);
    expect(world.request('listEvents').loadBalancerId).toBe(id);
    expect((await world.run('events nothing')).code).toBe(3);
  });
});

describe('statistics', () => {
  const counted = Statistics.create({ bytesIn: 7n, bytesOut: 2n ** 60n, totalConnections: 3n });

  it('of a load balancer, a listener and an amphora are shown, exactly', async () => {
    world.overrides.set('getLoadBalancerStatistics', () => counted);
    world.overrides.set('getListenerStatistics', () => counted);
    const shown = {
      active_connections: 0,
      bytes_in: 7,
      bytes_out: '1152921504606846976',
      request_errors: 0,
      total_connections: 3,
    };
    expect(await world.json('loadbalancer stats show web')).toEqual(shown);
    expect(await world.json('loadbalancer listener stats show http')).toEqual(shown);
    expect(world.request('getListenerStatistics').id).toBe(children.listener.id);
    world.overrides.set('getAmphoraStatistics', ({ id }) => ({
      amphoraId: id,
      listeners: [{ listenerId: 'l', loadBalancerId: 'b', statistics: counted }],
    }));
    expect(await world.json('loadbalancer amphora stats show a')).toMatchObject([{ listener_id: 'l', bytes_in: 7 }]);
  });
});

describe('the failover of an amphora', () => {
  const amphora = Amphora.create({ id: '0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2d', status: 'AMPHORA_STATUS_ALLOCATED' });
  beforeEach(() => {
    world.overrides.set('getAmphora', () => amphora);
    world.overrides.set('failoverAmphora', () => ({ amphora, flowId: 'f1', flowIds: ['f1', 'f2'] }));
  });

  it('names its flows, and is safe to repeat', async () => {
    const shown = await world.json(`loadbalancer amphora failover ${amphora.id}`);
    expect(shown).toEqual({ id: amphora.id, status: 'ALLOCATED', flow_id: 'f1', flow_ids: ['f1', 'f2'] });
    expect(world.request('failoverAmphora').requestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('is waited for, and fails as one of its flows does', async () => {
    world.overrides.set('watchFlows', () => [flow({ state: 'FLOW_STATE_SUCCEEDED', finishedAt: new Date() })]);
    expect((await world.run(`loadbalancer amphora failover --wait ${amphora.id}`)).code).toBe(0);
    world.overrides.set('watchFlows', ({ id }) => [
      flow({ state: id === 'f2' ? 'FLOW_STATE_FAILED' : 'FLOW_STATE_SUCCEEDED', finishedAt: new Date() }),
    ]);
    const { code, err } = await world.run(`loadbalancer amphora failover --wait ${amphora.id} -f json`);
    const last = err.trim().split('\n').at(-1) ?? '';
    expect([code, JSON.parse(last).error.reason]).toEqual([1, 'AGENT_UNREACHABLE']);
  });
});

describe('an amphora that nobody can isolate', () => {
  const amphora = Amphora.create({
    id: '0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2d',
    status: 'AMPHORA_STATUS_ALLOCATED',
    computeId: 'host-1:0197a3c2',
    lbNetworkIp: '127.0.9.1',
    haIp: '127.0.1.7',
  });
  beforeEach(() => {
    world.overrides.set('getAmphora', () => amphora);
    world.overrides.set('confirmFence', () => ({ amphora, flowId: 'f1', flowIds: ['f1'] }));
  });

  it('is explained without --confirm: what it means and what to check, and nothing is sent', async () => {
    const { code, out, err } = await world.run(`loadbalancer amphora fence ${amphora.id}`);
    expect([code, out]).toEqual([1, '']);
    for (const part of ['Nothing was changed', 'host-1:0197a3c2', '127.0.9.1', '127.0.1.7', 'was never heard']) {
      expect(err).toContain(part);
    }
    expect(err).toContain(`octaviactl loadbalancer amphora fence --confirm ${amphora.id}`);
    expect(world.request('confirmFence')).toBeUndefined();
  });

  it('counts as isolated once a person says so, and the flow that goes on is named', async () => {
    const shown = await world.json(`loadbalancer amphora fence --confirm ${amphora.id}`);
    expect(shown).toEqual({ id: amphora.id, status: 'ALLOCATED', flow_id: 'f1', flow_ids: ['f1'] });
    expect(world.request('confirmFence')).toMatchObject({
      id: amphora.id,
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    world.overrides.set('watchFlows', () => [flow({ state: 'FLOW_STATE_SUCCEEDED', finishedAt: new Date() })]);
    expect((await world.run(`loadbalancer amphora fence --confirm --wait ${amphora.id}`)).code).toBe(0);
  });
});

describe('the configuration of an agent', () => {
  it('is given anew, and waited for', async () => {
    const amphora = Amphora.create({ id: '0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2d', status: 'AMPHORA_STATUS_READY' });
    world.overrides.set('getAmphora', () => amphora);
    world.overrides.set('configureAmphora', () => ({ amphora, flowId: 'f2' }));
    expect(await world.json(`loadbalancer amphora configure ${amphora.id}`)).toMatchObject({ flow_id: 'f2' });
    world.overrides.set('watchFlows', () => [flow({ state: 'FLOW_STATE_SUCCEEDED', finishedAt: new Date() })]);
    expect((await world.run(`loadbalancer amphora configure --wait ${amphora.id}`)).code).toBe(0);
  });
});

describe('orphans', () => {
  const orphan = {
    side: 'ORPHAN_SIDE_OUTSIDE',
    kind: 'instance',
    name: 'noop:x',
    driver: 'compute noop',
    amphoraId: 'x',
    loadBalancerId: '',
    age: { seconds: 90n, nanos: 0 },
    message: 'It is removed.',
  };
  beforeEach(() => world.overrides.set('listOrphans', () => ({ orphans: [orphan], truncated: false })));

  it('are listed, also by age', async () => {
    expect(await world.json('orphans list --older-than 10m')).toMatchObject([
      { side: 'OUTSIDE', kind: 'instance', driver: 'compute noop', age_seconds: 90 },
    ]);
    expect(world.request('listOrphans')).toEqual({ olderThan: { seconds: 600n, nanos: 0 } });
    expect((await world.run('orphans list')).out).toContain('| OUTSIDE | instance | noop:x | compute noop | 90');
  });

  it('are removed by a flow, and by a dry run not at all', async () => {
    world.overrides.set('cleanOrphans', () => ({ flowId: 'f3' }));
    expect(await world.json('orphans clean --dry-run')).toHaveLength(1);
    expect(world.request('cleanOrphans')).toBeUndefined();
    expect(await world.json('orphans clean')).toEqual({ flow_id: 'f3' });
    world.overrides.set('watchFlows', () => [flow({ state: 'FLOW_STATE_SUCCEEDED', finishedAt: new Date() })]);
    expect((await world.run('orphans clean --wait')).code).toBe(0);
  });
});

describe('circuit breakers', () => {
  const breaker = {
    driver: 'amphora',
    endpoint: 'a at 127.0.9.1:9443',
    state: 'open',
    since: new Date('2026-11-20T10:00:00Z'),
    retryAfter: { seconds: 1n, nanos: 500_000_000 },
    lastErrorReason: 'AMPHORA_UNAVAILABLE',
    lastErrorMessage: 'It does not answer.',
    lastErrorAt: new Date('2026-11-20T10:00:00Z'),
  };

  it('are listed with endpoint, state, since when and why', async () => {
    world.overrides.set('listBreakers', () => ({ breakers: [breaker] }));
    expect(await world.json('breaker list')).toMatchObject([
      {
        endpoint: 'a at 127.0.9.1:9443',
        state: 'open',
        last_error: 'It does not answer. [AMPHORA_UNAVAILABLE]',
      },
    ]);
    expect(world.request('listBreakers')).toEqual({ includeClosed: false });
    expect(await world.json('breaker list -c retry_after_seconds')).toEqual([{ retry_after_seconds: 1.5 }]);
    await world.run('breaker list --all');
    expect(world.request('listBreakers')).toEqual({ includeClosed: true });
  });

  it('that are not closed are in the status', async () => {
    world.overrides.set('getSystemStatus', () =>
      SystemStatus.create({ ready: true, breakers: [breaker], breakersOpen: 3 }),
    );
    const { out } = await world.run('status');
    expect(out).toContain('3 endpoints are kept away from');
    expect(out).toContain('| amphora | a at 127.0.9.1:9443 | open  | 2026-11-20T10:00:00');
    expect(await world.json('status')).toMatchObject({ breakers_open: 3, breakers: [{ state: 'open' }] });
  });
});

describe('the state of the controller', () => {
  it('is shown in parts to people, and whole to programs', async () => {
    const certificate = { holder: 'worker', subject: 'CN=worker', expiresAt: new Date('2027-01-01'), daysLeft: 42 };
    world.overrides.set('getSystemStatus', () =>
      SystemStatus.create({
        ready: true,
        mode: 'loopback',
        flowsQueued: 3,
        oldestQueuedSeconds: 9,
        sparesWanted: 2,
        services: [{ name: 'worker', address: '127.0.0.1:1', state: 'SERVING', version: '1.2.3' }],
        certificates: [certificate],
        lastFailures: [{ flow: 'amphora.create', reason: 'NO_CAPACITY', message: 'Full.' }],
        heartbeats: { fresh: 5, silent: 1, never: 0 },
      }),
    );
    const { out } = await world.run('status');
    for (const part of [
      '| worker | SERVING | 1.2.3',
      'loopback: amphorae are processes on this machine',
      '0 run, 3 wait, the oldest waits for 9 s',
      '0 of 2 ready',
      '5 heard, 1 silent, 0 not yet',
      '| CN=worker | 2027-01-01T00:00:00 | 42',
      '| amphora.create | None            | NO_CAPACITY | Full.',
    ]) {
      expect(out).toContain(part);
    }
    expect(await world.json('status')).toMatchObject({
      heartbeats: { silent: 1 },
      certificates: [{ days_left: 42 }],
      last_failures: [{ reason: 'NO_CAPACITY' }],
    });
  });

  it('has log levels that can be changed for a while', async () => {
    const revertsAt = new Date('2026-11-20T10:10:00Z');
    world.overrides.set('setLogLevel', ({ level }) => ({ level: level || 'info', revertsAt }));
    expect(await world.json('log level worker debug --for 10m')).toEqual({
      service: 'worker',
      level: 'debug',
      reverts_at: '2026-11-20T10:10:00',
    });
    expect(world.request('setLogLevel')).toMatchObject({ service: 'worker', revertAfter: { seconds: 600n, nanos: 0 } });
    expect(await world.json('log level worker default')).toMatchObject({ level: 'info' });
    expect((await world.run('log level worker loud')).code).toBe(2);
  });
});

describe('help and completion', () => {
  it('has examples under every command', async () => {
    const { out } = await world.run('completion bash');
    const paths = [...out.matchAll(/^ {4}'(\/[^' ]+)'\) words=/gm)].map(([, path = '']) => path.slice(1).split('/'));
    expect(paths.length).toBeGreaterThan(50);
    const { buildProgram } = await import('../src/program.ts');
    for (const path of paths) {
      let command = buildProgram();
      for (const name of path) command = command.commands.find((child) => child.name() === name) ?? command;
      const help: string[] = [];
      command.configureOutput({ writeOut: (text) => help.push(text) }).outputHelp();
      expect(help.join(''), path.join(' ')).toContain(`Examples:\n  $ octaviactl ${path[0]}`);
    }
  });

  it('completes commands, options and values in bash', async () => {
    const file = join(world.folder, 'completion.bash');
    writeFileSync(file, (await world.run('completion bash')).out);
    const complete = (...words: string[]) => {
      const script = `source ${file}; COMP_WORDS=(octaviactl ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _octaviactl; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n');
    };
    expect(complete('loadb')).toEqual(['loadbalancer']);
    expect(complete('-f', 'json', 'loadbalancer', 'listener', 'st')).toEqual(['stats']);
    expect(complete('loadbalancer', 'listener', 'create', '--protocol', 'H')).toEqual(['HTTP', 'HTTPS']);
    expect(complete('loadbalancer', 'create', '--vip-a')).toEqual(['--vip-address']);
    expect(complete('log', 'level', 'heart')).toEqual(['heartbeat-udp']);
    expect(complete('flow', 'list', '--format', 'j')).toEqual(['json']);
  });

  it('is written for zsh and fish too', async () => {
    expect((await world.run('completion zsh')).out).toContain(`(/loadbalancer|/loadbalancer/create|`);
    expect((await world.run('completion fish')).out).toContain(
      `complete -c octaviactl -n '__octaviactl_at /loadbalancer/listener/create' -l protocol -x -a 'HTTP TCP`,
    );
    expect((await world.run('completion tcsh')).code).toBe(2);
  });
});
