import { spawn } from 'node:child_process';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { activeLoadBalancer, BIN, childrenOf, detail, Refusal, World } from './world.ts';

let world: World;

beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());
beforeEach(() => {
  world.calls.length = 0;
  world.objects.clear();
  world.overrides.clear();
});

/** The id of the load balancer that a command has just created. */
function createdId(): string {
  return [...world.objects.keys()][0] ?? '';
}

describe('--wait', () => {
  it('shows each change of progress once, then the object that is in place', async () => {
    const booting = detail({ flow: 'load_balancer.create', step: 'boot', attempt: 2, waitingFor: 'amphora to answer' });
    const done = await world.run('loadbalancer create --name web --wait', {
      during: (err) => {
        if (err.includes('amphora to answer')) {
          world.change(createdId(), { provisioningStatus: 'PROVISIONING_STATUS_ACTIVE', statusDetail: undefined });
        } else {
          world.change(createdId(), { statusDetail: booting });
        }
      },
    });
    expect(done.code).toBe(0);
    expect(done.err.trim().split('\n')).toEqual([
      'load balancer web: PENDING_CREATE',
      'load balancer web: PENDING_CREATE, flow load_balancer.create, step boot (attempt 2), waiting for amphora to answer',
      'load balancer web: ACTIVE',
    ]);
    expect(done.out).toContain('| provisioning_status | ACTIVE');
    expect(world.calls.some(({ method }) => method === 'watchLoadBalancer')).toBe(true);
  });

  it('ends with the reason, the message and the trace id when it ends in ERROR', async () => {
    const failed = detail({ reason: 'CONFIGURATION_REFUSED', message: 'Port 80 is taken.', traceId: 'ab'.repeat(16) });
    const fail = () =>
      world.change(createdId(), { provisioningStatus: 'PROVISIONING_STATUS_ERROR', statusDetail: failed });
    const { code, out, err } = await world.run('loadbalancer create --name web --wait', { during: fail });
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain('error: The load balancer web ended in ERROR: Port 80 is taken. [CONFIGURATION_REFUSED]');
    expect(err).toContain(`Trace id: ${'ab'.repeat(16)}`);
  });

  it('tells programs the same as JSON, one object a line', async () => {
    const fail = () => world.change(createdId(), { provisioningStatus: 'PROVISIONING_STATUS_ERROR' });
    const { err } = await world.run('loadbalancer create --name web --wait -f json', { during: fail });
    const lines = err
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines[0]).toEqual({ progress: 'load balancer web', state: 'PENDING_CREATE' });
    expect(lines.at(-1).error).toMatchObject({ reason: 'ERROR', details: { id: createdId() } });
  });

  it('gives up after --wait-timeout, and says that the change goes on', async () => {
    const { code, err } = await world.run('loadbalancer create --name web --wait --wait-timeout 300ms');
    expect(code).toBe(1);
    expect(err).toContain('is still PENDING_CREATE after 0.3 s. [WAIT_TIMED_OUT]');
    expect(err).toContain('The change goes on.');
  });

  it('waits until a deleted object is gone, be it DELETED or not found', async () => {
    const lb = world.put(activeLoadBalancer());
    const gone = await world.run('loadbalancer delete --wait web', {
      during: () => world.change(lb.id, { provisioningStatus: 'PROVISIONING_STATUS_DELETED' }),
    });
    expect([gone.code, gone.out]).toEqual([0, '']);
    const other = world.put(activeLoadBalancer({ name: 'other' }));
    expect((await world.run('loadbalancer delete --wait other', { during: () => world.forget(other.id) })).code).toBe(
      0,
    );
  });

  it('waits for a child by the watch of its load balancer', async () => {
    const lb = world.put(activeLoadBalancer());
    const { pool, member } = childrenOf(lb);
    world.put(pool);
    world.overrides.set('createMember', () =>
      world.put({ ...member, provisioningStatus: 'PROVISIONING_STATUS_PENDING_CREATE' }),
    );
    const { code, out } = await world.run(
      'loadbalancer member create --address ::1 --protocol-port 1 p --wait -f json',
      {
        during: () => world.change(member.id, { provisioningStatus: 'PROVISIONING_STATUS_ACTIVE' }),
      },
    );
    expect([code, world.request('watchLoadBalancer')]).toEqual([0, { id: lb.id }]);
    expect(JSON.parse(out)).toMatchObject({ id: member.id, provisioning_status: 'ACTIVE' });
  });

  it('goes on when the controller is restarted meanwhile', async () => {
    let halted = false;
    const { code } = await world.run('loadbalancer create --name web --wait --wait-timeout 15s', {
      during: (err) => {
        if (halted || !err.includes('PENDING_CREATE')) return;
        halted = true;
        world.halt();
        world.change(createdId(), { provisioningStatus: 'PROVISIONING_STATUS_ACTIVE' });
        void world.listen();
      },
    });
    expect([halted, code]).toEqual([true, 0]);
  });

  it('says once that the controller is away, however long that takes', async () => {
    let answers = 0;
    const { code, err } = await world.run('loadbalancer create --name web --wait --wait-timeout 30s', {
      during: (text) => {
        if (answers > 0 || !text.includes('PENDING_CREATE')) return;
        world.overrides.set('getLoadBalancer', () => {
          answers += 1;
          if (answers < 7) throw new Refusal(status.UNAVAILABLE, 'DATABASE_UNAVAILABLE', 'It is away.');
          world.change(createdId(), { provisioningStatus: 'PROVISIONING_STATUS_ACTIVE' });
          return undefined;
        });
      },
    });
    expect(code).toBe(0);
    expect(err.trim().split('\n')).toEqual([
      'load balancer web: PENDING_CREATE',
      'load balancer web: the controller does not answer; asking again',
      'load balancer web: ACTIVE',
    ]);
  }, 40_000);

  it('leaves with 130 on Ctrl-C, and says that the change goes on', async () => {
    const { code, err } = await world.run('loadbalancer create --name web --wait', {
      during: (text, child) => {
        if (text.includes('PENDING_CREATE')) child.kill('SIGINT');
      },
    });
    expect(code).toBe(130);
    expect(err).toContain('Interrupted. The change goes on');
  });

  it('writes one moving line on a terminal, also on one that does not say how wide it is', async () => {
    // `script` (of every Debian) gives the command a terminal of 0 columns.
    const line = `'${process.execPath}' '${BIN}' loadbalancer create --name web --wait -c provisioning_status`;
    const script = spawn('script', ['-qefc', line, '/dev/null'], {
      env: { PATH: process.env.PATH, TERM: 'xterm', OCTAVIACTL_CONFIG: world.configFile },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let seen = '';
    script.stdout.on('data', (piece) => {
      seen += piece;
      if (seen.includes('⠙')) world.change(createdId(), { provisioningStatus: 'PROVISIONING_STATUS_ACTIVE' });
    });
    const code = await new Promise((done) => script.on('close', done));
    expect(code).toBe(0);
    expect(seen).toContain('\r\u001b[K⠋ load balancer web: PENDING_CREATE');
    expect(seen).toContain('\r\u001b[K+----'); // The line is gone before the table comes.
    expect(seen).toContain('\u001b[32mACTIVE\u001b[0m');
  });
});
