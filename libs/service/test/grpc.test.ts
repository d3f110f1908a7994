import { status } from '@grpc/grpc-js';
import { InvalidRequest, LoadBalancerBeingDeleted, Unavailable } from '@octavia/domain';
import { ListenerServiceService, LookupServiceService, type ShardMap } from '@octavia/proto';
import { afterEach, describe, expect, it } from 'vitest';
import { Undecodable } from '../src/grpc/serve.ts';
import { ATTR, type CallContext, GrpcServer, RemoteError, RemoteFault, rpcClient, unary } from '../src/index.ts';
import { type Behaviour, emptySubnet, startWorld, until, type World } from './world.ts';

let world: World | undefined;
afterEach(async () => {
  await world?.stop();
  world = undefined;
});

async function start(behaviour: Behaviour = {}, options = {}): Promise<World> {
  world = await startWorld(behaviour, options);
  return world;
}

const request = { id: 's1', projectId: 'p1' };
const map: ShardMap = { ranges: [{ first: 0, last: 4095, owner: '127.0.0.1:1', epoch: 1n }] };

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('the call succeeded'),
    (error: unknown) => error,
  );
}

describe('a call', () => {
  it('reaches the handler with its caller: name from the certificate, tenant from the metadata', async () => {
    let seen: CallContext | undefined;
    const { lookup } = await start({
      getSubnet: ({ id }, context) => {
        seen = context;
        return { ...emptySubnet, id };
      },
    });
    const caller = { client: 'forged', projectId: 'p1', userId: 'u1', roles: ['reader'] };
    expect(await (await lookup()).getSubnet(request, { caller })).toMatchObject({ id: 's1' });
    expect(seen?.caller).toMatchObject({ ...caller, client: 'client' });
    expect(seen?.remainingMs).toBeGreaterThan(5_000);
  });

  it('brings back what a person and a program need of an error', async () => {
    const violation = { field: 'id', description: 'must be a UUID', reason: 'INVALID_UUID' };
    const { lookup } = await start({
      getSubnet: () => {
        throw new InvalidRequest([violation, { ...violation, field: 'project_id' }]);
      },
    });
    const error = await failureOf((await lookup()).getSubnet(request));
    expect(error).toBeInstanceOf(RemoteError);
    expect(error).toMatchObject({ kind: 'invalid', code: status.INVALID_ARGUMENT });
    expect((error as RemoteError).violations).toHaveLength(2);
  });

  it('fails as INTERNAL when the handler has a bug: the text stays in the log, once, with its stack', async () => {
    const { lookup, lines } = await start({ getSubnet: () => Promise.reject(new TypeError('hunter2')) });
    const client = await lookup();
    const error = await failureOf(client.getSubnet(request));
    expect(error).toBeInstanceOf(RemoteFault);
    expect((error as RemoteFault).message).not.toContain('hunter2');
    const logged = lines.filter((line) => JSON.stringify(line).includes('hunter2'));
    expect(logged).toHaveLength(1);
    expect(logged[0]).toMatchObject({ level: 50, err: { stack: expect.stringContaining('grpc.test.ts') } });
    expect(await client.getDrivers({})).toEqual({ names: {} });
  });

  it('fails as INTERNAL when the reply cannot be encoded, and the server lives on', async () => {
    const { lookup, lines } = await start({ getDrivers: () => ({ names: null as never }) });
    const client = await lookup();
    expect(await failureOf(client.getDrivers({}))).toMatchObject({ code: status.INTERNAL });
    expect(lines.some((line) => line.msg === 'a reply cannot be encoded')).toBe(true);
    expect(await client.getSubnet(request)).toEqual(emptySubnet);
  });

  it('is refused with every bad metadata key', async () => {
    const { lookup } = await start();
    const caller = { requestId: 'no uuid', projectId: 'p'.repeat(300) };
    const error = await failureOf((await lookup()).getDrivers({}, { caller }));
    expect(error).toMatchObject({ kind: 'invalid' });
    expect((error as RemoteError).violations).toHaveLength(2);
  });

  it('aborts its handler at the deadline', async () => {
    const aborted = Promise.withResolvers<unknown>();
    const { lookup } = await start({
      getSubnet: (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            aborted.resolve(signal.reason);
            reject(signal.reason);
          });
        }),
    });
    const error = await failureOf((await lookup()).getSubnet(request, { deadlineMs: 200 }));
    expect(error).toMatchObject({ kind: 'unavailable', reason: 'DEADLINE_EXCEEDED', code: status.DEADLINE_EXCEEDED });
    expect(await aborted.promise).toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
  });

  it('aborts its handler when the client gives up, who gets the reason of its own signal', async () => {
    const aborted = Promise.withResolvers<unknown>();
    const started = Promise.withResolvers<void>();
    const { lookup } = await start({
      getSubnet: (_, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve(signal.reason));
        started.resolve();
        return new Promise(() => {});
      },
    });
    const controller = new AbortController();
    const failure = failureOf((await lookup()).getSubnet(request, { signal: controller.signal }));
    await started.promise;
    controller.abort(new Error('changed my mind'));
    expect(await failure).toMatchObject({ message: 'changed my mind' });
    expect(await aborted.promise).toMatchObject({ reason: 'CALL_CANCELLED' });
  });

  it('is refused when it is larger than the limit, and the server lives on', async () => {
    const { lookup } = await start({}, { maxMessageBytes: 1024 });
    const client = await lookup();
    const error = await failureOf(client.getSubnet({ id: 'x'.repeat(5000), projectId: '' }));
    expect(error).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect(await client.getDrivers({})).toEqual({ names: {} });
  });

  it('is refused as invalid when its bytes are not the contract: a number that an enum does not have, or no protobuf', async () => {
    const { server, pki, lines } = await start();
    const sends = (bytes: Buffer, { createListener } = ListenerServiceService) => {
      const service = { createListener: { ...createListener, path: getSubnet.path, requestSerialize: () => bytes } };
      const client = rpcClient({ service }, server.address, tls);
      return failureOf(client.createListener({ listener: undefined, requestId: '' })).finally(() => client.close());
    };
    const { getSubnet } = LookupServiceService;
    const tls = await pki.cert('client');
    const noProtobuf = await sends(Buffer.from([0xff, 0xff]));
    expect(noProtobuf).toMatchObject({ code: status.INVALID_ARGUMENT, reason: 'UNDECODABLE' });
    expect(lines.filter(({ msg }) => msg === 'call failed by a bug')).toEqual([]);
    expect(new Undecodable(new Error('Unrecognized enum value 99 for enum Protocol')).toError()).toMatchObject({
      kind: 'invalid',
      reason: 'UNKNOWN_ENUM_VALUE',
      message: 'request: has the number 99 for Protocol, which this version of the contract does not have',
    });
  });

  it('logs one line: debug when it went well, info when it was refused, warn when we depend on what is away', async () => {
    const { lookup, lines } = await start({
      getSubnet: ({ id }) => {
        if (id === 'busy') throw new LoadBalancerBeingDeleted('1');
        throw new Unavailable('NETWORK_UNAVAILABLE', 'Away.');
      },
    });
    const client = await lookup();
    await client.getDrivers({});
    await failureOf(client.getSubnet({ ...request, id: 'busy' }));
    await failureOf(client.getSubnet({ ...request, id: 'away' }));
    const calls = lines.filter((line) => ATTR.RPC_METHOD in line);
    expect(calls.map(({ level, msg }) => [level, msg])).toEqual([
      [20, 'call ended'],
      [30, 'call refused'],
      [40, 'call failed'],
    ]);
    expect(calls[2]).toMatchObject({ [ATTR.REASON]: 'NETWORK_UNAVAILABLE', [ATTR.CLIENT]: 'client' });
  });
});

describe('a stream', () => {
  it('gives its replies in order, and ends', async () => {
    const { heartbeats } = await start({
      async watch({ send }) {
        for (const epoch of [1n, 2n, 3n]) await send({ ranges: [{ first: 0, last: 1, owner: '', epoch }] });
      },
    });
    const epochs: (bigint | undefined)[] = [];
    for await (const { ranges } of (await heartbeats()).watchShardMap({})) epochs.push(ranges[0]?.epoch);
    expect(epochs).toEqual([1n, 2n, 3n]);
  });

  it('ends with the error of its handler, after what was sent before', async () => {
    const { heartbeats } = await start({
      async watch({ send }) {
        await send(map);
        throw new LoadBalancerBeingDeleted('1');
      },
    });
    const seen: ShardMap[] = [];
    const reading = (async () => {
      for await (const next of (await heartbeats()).watchShardMap({})) seen.push(next);
    })();
    expect(await failureOf(reading)).toMatchObject({ kind: 'state', reason: 'LOAD_BALANCER_BEING_DELETED' });
    expect(seen).toEqual([map]);
  });

  it('aborts its handler when the reader leaves', async () => {
    const aborted = Promise.withResolvers<unknown>();
    const { heartbeats } = await start({
      async watch({ send, signal }) {
        signal.addEventListener('abort', () => aborted.resolve(signal.reason));
        await send(map);
        await aborted.promise;
      },
    });
    for await (const _ of (await heartbeats()).watchShardMap({})) break;
    expect(await aborted.promise).toMatchObject({ reason: 'CALL_CANCELLED' });
  });

  it('makes a fast sender wait for a slow reader', async () => {
    let sent = 0;
    const big: ShardMap = { ranges: [{ first: 0, last: 1, owner: 'x'.repeat(100_000), epoch: 1n }] };
    const { heartbeats } = await start({
      async watch({ send }) {
        for (; sent < 1000; sent += 1) await send(big);
      },
    });
    const reader = (await heartbeats()).watchShardMap({})[Symbol.asyncIterator]();
    await reader.next();
    let before = -1;
    await until(async () => {
      const isStill = sent === before;
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return isStill;
    });
    expect(sent).toBeLessThan(500);
    await reader.return?.();
  });
});

describe('a server that stops', () => {
  it('lets calls in progress end, ends streams, and says that it stops', async () => {
    const entered = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    const { lookup, heartbeats, server } = await start({
      async getSubnet() {
        entered.resolve();
        await finish.promise;
        return emptySubnet;
      },
      async watch({ send, signal }) {
        await send(map);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    });
    const call = (await lookup()).getSubnet(request);
    const stream = (await heartbeats()).watchShardMap({})[Symbol.asyncIterator]();
    await stream.next();
    await entered.promise;
    const stopped = server.stop();
    expect(await failureOf(stream.next())).toMatchObject({ kind: 'unavailable', reason: 'SERVICE_STOPPING' });
    finish.resolve();
    expect(await call).toEqual(emptySubnet);
    await stopped;
  });

  it('does not wait longer than its limit for a call that never ends', async () => {
    const entered = Promise.withResolvers<void>();
    const { lookup, server } = await start(
      {
        getSubnet: () => {
          entered.resolve();
          return new Promise(() => {});
        },
      },
      { drainMs: 200 },
    );
    const failure = failureOf((await lookup()).getSubnet(request));
    await entered.promise;
    await server.stop();
    expect(await failure).toMatchObject({ kind: 'unavailable', reason: 'SERVICE_STOPPING' });
  });
});

describe('a client', () => {
  it('finds its server again after a restart, and waits for it when told to', async () => {
    const first = await start();
    const client = await first.lookup();
    await client.getDrivers({});
    await first.server.stop();
    expect(await failureOf(client.getDrivers({}, { deadlineMs: 500 }))).toMatchObject({ kind: 'unavailable' });
    const waiting = client.getDrivers({}, { waitForReady: true });
    const tls = await first.pki.cert('server');
    const again = new GrpcServer({ bind: first.server.address, tls, allowedClients: ['*'] });
    again.add(LookupServiceService, { getDrivers: unary(() => ({ names: { compute: 'again' } })) });
    await again.start();
    expect(await waiting).toEqual({ names: { compute: 'again' } });
    await again.stop();
  });
});

describe('a server', () => {
  it('takes no bare handlers, which could end the process', async () => {
    const { server, pki } = await start();
    const other = new GrpcServer({ bind: server.address, tls: await pki.cert('x'), allowedClients: [] });
    expect(() => other.add(LookupServiceService, { getDrivers: () => {} })).toThrow('wrap it with unary()');
  });

  it('says which address is taken', async () => {
    const { server, pki } = await start();
    const other = new GrpcServer({ bind: server.address, tls: await pki.cert('x'), allowedClients: [] });
    await expect(other.start()).rejects.toThrow(`Cannot listen on 127.0.0.1:${server.address.port}`);
  });
});
