import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { activeLoadBalancer, BIN, Refusal, World } from './world.ts';

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

describe('a name', () => {
  it('that nothing has ends with 3', async () => {
    const { code, err } = await world.run('loadbalancer show nope');
    expect([code, err]).toEqual([3, 'error: There is no load balancer nope. [LOAD_BALANCER_NOT_FOUND]\n']);
  });

  it('that several have is refused, with their ids', async () => {
    const one = world.put(activeLoadBalancer());
    const other = world.put(activeLoadBalancer());
    const { code, err } = await world.run('loadbalancer delete web');
    expect(code).toBe(1);
    expect(err).toContain(`More than one load balancer is named web: ${one.id}, ${other.id}. [AMBIGUOUS_NAME]`);
    expect(world.request('deleteLoadBalancer')).toBeUndefined();
  });

  it('may look like an id', async () => {
    const name = '0197a3c2-7a5e-7c7b-9d51-7f6d8c0a1b2c';
    const lb = world.put(activeLoadBalancer({ name }));
    expect((await world.json(`loadbalancer show ${name}`)).id).toBe(lb.id);
  });
});

describe('what the controller refuses', () => {
  const refuse = () => {
    world.put(activeLoadBalancer());
    world.overrides.set('createListener', () => {
      throw new Refusal(status.INVALID_ARGUMENT, 'INVALID_REQUEST', 'all of it', [
        { field: 'listener.protocol_port', description: 'must be 1 to 65535', reason: 'OUT_OF_RANGE' },
        { field: 'listener.default_pool_id', description: 'is of another load balancer', reason: 'FOREIGN_POOL' },
        { field: 'listener.insert_headers["X-A"]', description: 'is not known', reason: 'UNKNOWN_HEADER' },
        { field: 'listener.mystery', description: 'is odd', reason: '' },
      ]);
    });
  };
  const line = 'loadbalancer listener create --protocol HTTP --protocol-port 70000 web';

  it('is told by the names of the options', async () => {
    refuse();
    const { code, out, err } = await world.run(line);
    expect([code, out]).toEqual([2, '']);
    expect(err.split('\n').map((text) => text.trim())).toEqual([
      'error: --protocol-port: must be 1 to 65535 [OUT_OF_RANGE]',
      '--default-pool: is of another load balancer [FOREIGN_POOL]',
      '--insert-headers: is not known [UNKNOWN_HEADER]',
      'listener.mystery: is odd [INVALID_REQUEST]',
      '',
    ]);
  });

  it('is told to programs as JSON', async () => {
    refuse();
    const { err } = await world.run(`${line} -f json`);
    expect(JSON.parse(err).error).toMatchObject({
      reason: 'INVALID_REQUEST',
      fields: [{ option: '--protocol-port', message: 'must be 1 to 65535', reason: 'OUT_OF_RANGE' }, {}, {}, {}],
    });
  });

  it('for another reason is told with that reason, and ends with 1', async () => {
    world.put(activeLoadBalancer());
    world.overrides.set('deleteLoadBalancer', () => {
      throw new Refusal(status.FAILED_PRECONDITION, 'HAS_CHILDREN', 'It has listeners. Use cascade.');
    });
    const { code, err } = await world.run('loadbalancer delete web');
    expect([code, err]).toEqual([1, 'error: It has listeners. Use cascade. [HAS_CHILDREN]\n']);
  });
});

describe('a line that makes no sense', () => {
  for (const [line, text] of [
    ['loadbalancer lsit', 'Did you mean list?'],
    ['loadbalancer list --nmae x', 'Did you mean --name?'],
    ['loadbalancer listener create --protocol HTTP web', "required option '--protocol-port <port>' not specified"],
    ['loadbalancer listener create --protocol FTP --protocol-port 1 web', 'It must be one of HTTP, TCP'],
    ['loadbalancer member create --address a --protocol-port x p', 'It must be a whole number.'],
    ['loadbalancer pool create --protocol TCP --lb-algorithm SOURCE_IP', '--listener or --loadbalancer'],
    ['loadbalancer set --enable --disable web', 'cannot be used with'],
    ['loadbalancer list -c nonsense', 'There is no column nonsense.'],
  ] as const) {
    it(`ends with 2: ${line}`, async () => {
      const { code, err, out } = await world.run(line);
      expect([code, out]).toEqual([2, '']);
      expect(err).toContain(text);
    });
  }
});

describe('the connection', () => {
  it('that is not there ends with 4 and says how to start the controller', async () => {
    const config = join(world.folder, 'gone.json');
    world.writeConfig(config, '127.0.0.1:1');
    const { code, err } = await world.run(`loadbalancer list --config ${config}`);
    expect(code).toBe(4);
    expect(err).toMatch(
      /^error: Cannot connect to the controller at 127\.0\.0\.1:1: connect ECONNREFUSED 127\.0\.0\.1:1 \[CANNOT_CONNECT\]/,
    );
    expect(err).toContain('Is the controller running? Start it with: npm start');
  });

  it('is tried again with the same request id when the controller is away for a moment', async () => {
    let tries = 0;
    world.overrides.set('createLoadBalancer', () => {
      tries += 1;
      if (tries < 3) throw new Refusal(status.UNAVAILABLE, 'DATABASE_UNAVAILABLE', 'The database is away.');
      return undefined;
    });
    expect((await world.run('loadbalancer create')).code).toBe(0);
    const ids = world.calls.map(({ request }) => request.requestId);
    expect([ids.length, new Set(ids).size]).toEqual([3, 1]);
  });

  it('speaks for whom the options say', async () => {
    await world.json('--user eve loadbalancer list --project p2 --role a --role b');
    expect(world.calls[0]?.metadata).toMatchObject({ 'x-project-id': 'p2', 'x-user-id': 'eve', 'x-roles': 'a,b' });
    expect(world.request('listLoadBalancers').projectId).toBe('p2');
  });

  it('file is found by option, environment, home and folder, in this order', async () => {
    const home = join(world.folder, 'home');
    const deep = join(world.folder, 'project/src');
    mkdirSync(home);
    mkdirSync(join(world.folder, 'project/.octavia'), { recursive: true });
    mkdirSync(deep);
    const without = { OCTAVIACTL_CONFIG: '' };
    world.writeConfig(join(home, 'octaviactl.json'), '127.0.0.1:2');
    world.writeConfig(join(world.folder, 'project/.octavia/octaviactl.json'), '127.0.0.1:3');
    world.writeConfig(join(world.folder, 'env.json'), '127.0.0.1:4');
    const address = async (line: string, env: Record<string, string>) =>
      /at (127\S+):/.exec((await world.run(line, { env, cwd: deep })).err)?.[1];
    const named = `loadbalancer list --config ${join(world.folder, 'env.json')}`;
    const found = await Promise.all([
      address(named, { OCTAVIA_HOME: home }),
      address('loadbalancer list', { OCTAVIACTL_CONFIG: join(world.folder, 'env.json'), OCTAVIA_HOME: home }),
      address('loadbalancer list', { ...without, OCTAVIA_HOME: home }),
      address('loadbalancer list', without),
    ]);
    expect(found).toEqual(['127.0.0.1:4', '127.0.0.1:4', '127.0.0.1:2', '127.0.0.1:3']);
  });

  it('file that was named is not replaced by another one', async () => {
    const { code, err } = await world.run('loadbalancer list', {
      env: { OCTAVIACTL_CONFIG: '', OCTAVIA_HOME: '/nowhere' },
    });
    expect(code).toBe(4);
    expect(err).toContain('There is no connection file /nowhere/octaviactl.json. [CONNECTION_FILE_MISSING]');
  });
});

describe('the entry file', () => {
  const nodes = [process.execPath, '/usr/bin/node'].filter((node) => existsSync(node));
  for (const node of nodes) {
    it(`runs under ${node === process.execPath ? 'our Node' : "the system's Node"}`, async () => {
      world.put(activeLoadBalancer());
      expect(await world.run('--version', { node })).toEqual({ code: 0, out: '0.1.0\n', err: '' });
      expect((await world.run('loadbalancer show web -f value -c name', { node })).out).toBe('web\n');
      const bare = await world.run('loadbalancer show web -f value -c name', {
        node,
        env: { OCTAVIACTL_REEXECUTED: '1' },
      });
      expect(bare.out).toBe('web\n');
    });
  }

  it('says what to do when the bundle is not built', () => {
    const folder = join(world.folder, 'unbuilt/tools/octaviactl/bin');
    mkdirSync(folder, { recursive: true });
    copyFileSync(BIN, join(folder, 'octaviactl.mjs'));
    const { status: code, stderr } = spawnSync(process.execPath, [join(folder, 'octaviactl.mjs'), 'status']);
    expect([code, String(stderr)]).toEqual([
      1,
      'octaviactl is not built yet. Run npm start (or npm run build) first.\n',
    ]);
  });

  it('shows help with examples for every command', async () => {
    expect(existsSync(BIN)).toBe(true);
    const [bare, leaf] = await Promise.all([world.run(''), world.run('loadbalancer member create --help')]);
    expect([bare.code, leaf.code]).toEqual([0, 0]);
    expect(bare.out).toContain('Exit codes:');
    expect(leaf.out).toContain('$ octaviactl loadbalancer member create --address 127.0.0.1');
  });
});
