/** The whole process but its settings: a real UDP socket, a real owner over mutual TLS. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { deflateSync } from 'node:zlib';
import { HeartbeatServiceService, type ReportHeartbeatsRequest, type ShardMap } from '@octavia/proto';
import { formatHostPort, GrpcServer, logger, type Part, serverStream, unary } from '@octavia/service';
import { type TestPki, testPki } from '@octavia/service/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { drainAtEnd, ownerConnections } from '../src/delivery.ts';
import { Intake } from '../src/intake.ts';
import { Opener } from '../src/opener.ts';
import { type Outcome, OutcomeCounts } from '../src/outcomes.ts';
import { Router } from '../src/router.ts';
import { ShardMapWatch } from '../src/shard-map.ts';
import { laneTimes } from '../src/times.ts';
import { UdpSocket } from '../src/udp-socket.ts';
import { batchObserver } from '../src/watch-drops.ts';
import { amphoraId, body, KEY, seal, sealBytes } from './seal.ts';
import { mapOf, until } from './world.ts';

const log = logger('test');
const ANYWHERE = { host: '127.0.0.1', port: 0 };
let pki: TestPki;
let parts: Part[] = [];

beforeAll(async () => {
  pki = await testPki();
});
afterAll(() => pki.remove());
afterEach(async () => {
  for (const part of parts.reverse()) await part.stop();
  parts = [];
});

async function run<P extends Part>(part: P): Promise<P> {
  await part.start();
  parts.push(part);
  return part;
}

/** An owner of all shards, as `health` is one. */
class Owner {
  readonly requests: ReportHeartbeatsRequest[] = [];
  readonly maps: ((map: ShardMap) => Promise<void>)[] = [];
  server: GrpcServer | undefined;

  get address(): string {
    return this.server ? formatHostPort(this.server.address) : '';
  }

  async start(bind = ANYWHERE): Promise<this> {
    const tls = await pki.cert('health');
    this.server = new GrpcServer({ bind, tls, allowedClients: ['heartbeat-udp'], drainMs: 100, log });
    this.server.add(HeartbeatServiceService, {
      reportHeartbeats: unary(async (request) => {
        this.requests.push(request);
        return { wantedStatuses: [], notOwned: [] };
      }),
      watchShardMap: serverStream(async (_request, { send, signal }) => {
        this.maps.push(send);
        await send(mapOf(this.address));
        await once(signal, 'abort');
      }),
    });
    await run(this.server);
    return this;
  }

  /** All heartbeats taken so far. */
  get heartbeats() {
    return this.requests.flatMap((request) => request.heartbeats);
  }
}

async function listen(health: Owner['address'][]) {
  const tls = await pki.cert('heartbeat-udp');
  const counts = new OutcomeCounts();
  const observer = batchObserver(log, () => watch.renew());
  const router = new Router(ownerConnections(tls), counts, observer, laneTimes(10));
  const intake = new Intake(new Opener([KEY]), router, counts);
  const addresses = health.map((address) => ({ host: '127.0.0.1', port: Number(address.split(':')[1]) }));
  let maps = 0;
  const watch = await run(
    new ShardMapWatch({ addresses, tls, log }, (map) => {
      router.follow(map);
      maps += 1;
    }),
  );
  await run(drainAtEnd(router));
  const socket = await run(
    new UdpSocket({ bind: ANYWHERE, receiveBuffer: 4_194_304, log }, (datagram) => intake.receive(datagram)),
  );
  return { counts, router, port: socket.port, maps: () => maps };
}

async function send(port: number, datagrams: readonly Buffer[]): Promise<void> {
  const socket = createSocket('udp4');
  for (const datagram of datagrams) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.send(datagram, port, '127.0.0.1', (error) => (error ? reject(error) : resolve()));
    await promise;
  }
  socket.close();
}

describe('a heartbeat on the wire', () => {
  it('reaches the owner of its shard', async () => {
    const owner = await new Owner().start();
    const { port } = await listen([owner.address]);
    await send(port, [seal(body(1, 0)), seal(body(2, 0))]);
    await until(() => owner.heartbeats.length === 2);
    expect(owner.heartbeats).toMatchObject([
      { amphoraId: amphoraId(1), seq: 0n, datagrams: 1 },
      { amphoraId: amphoraId(2), seq: 0n, datagrams: 1 },
    ]);
    expect(owner.heartbeats[0]?.ageMs).toBeLessThan(15_000);
  });

  it('is dropped and counted by its reason when forged, cut, replayed or a bomb, and the next one arrives', async () => {
    const owner = await new Owner().start();
    const { port, counts } = await listen([owner.address]);
    const good = seal(body(1, 1, { boot: 'b' }));
    const dropped: [Outcome, Buffer][] = [
      ['bad_hmac', seal(body(2, 0), 'another key')],
      ['bad_hmac', good.subarray(0, -1)],
      ['bad_hmac', Buffer.alloc(60_000, 7)],
      ['too_short', Buffer.alloc(0)],
      ['replayed', good],
      ['bad_inflate', sealBytes(Buffer.from('{}'))],
      ['too_large', sealBytes(deflateSync(Buffer.alloc(20_000_000, 32)))],
      ['bad_utf8', sealBytes(deflateSync(Buffer.from([0xc3, 0x28])))],
      ['bad_json', sealBytes(deflateSync(Buffer.from('{"id": NaN}')))],
      ['not_object', seal('text')],
      ['bad_field', seal({ ...body(3, 0), ver: null })],
    ];
    await send(port, [good, ...dropped.map(([, datagram]) => datagram), seal(body(4, 0))]);
    await until(() => owner.heartbeats.length === 2);
    expect(owner.heartbeats.map((heartbeat) => heartbeat.amphoraId)).toEqual([amphoraId(1), amphoraId(4)]);
    for (const [outcome] of dropped) {
      expect([outcome, counts.get(outcome)]).toEqual([outcome, dropped.filter(([other]) => other === outcome).length]);
    }
    expect(counts.get('accepted')).toBe(2);
  });

  it('waits for an owner that starts later, found at the second address', async () => {
    const early = await new Owner().start();
    const { address } = early;
    await early.server?.stop();
    parts = parts.filter((part) => part !== early.server);
    const { port, router } = await listen(['127.0.0.1:1', address]);
    await send(port, [seal(body(1, 0)), seal(body(1, 1)), seal(body(2, 0))]);
    await until(() => router.waiting === 2);
    const late = new Owner();
    await late.start({ host: '127.0.0.1', port: Number(address.split(':')[1]) });
    await until(() => late.heartbeats.length === 2);
    expect(late.heartbeats).toMatchObject([
      { amphoraId: amphoraId(1), datagrams: 2, seq: 1n },
      { amphoraId: amphoraId(2), datagrams: 1 },
    ]);
  });

  it('goes to the new owner when the map says so, on the same stream', async () => {
    const first = await new Owner().start();
    const second = await new Owner().start();
    const { port, maps } = await listen([first.address]);
    await send(port, [seal(body(1, 0))]);
    await until(() => first.heartbeats.length === 1);
    await first.maps[0]?.(mapOf(second.address));
    await until(() => maps() === 2);
    await send(port, [seal(body(1, 1)), seal(body(1, 2))]);
    await until(() => second.heartbeats.at(-1)?.seq === 2n);
    expect(second.heartbeats[0]?.status).toBeDefined();
    expect(first.heartbeats).toHaveLength(1);
  });

  it('goes to the owner that another health names, when the owner named by the first has died', async () => {
    const first = await new Owner().start();
    const second = await new Owner().start();
    const dead = '127.0.0.1:1';
    const { port, maps } = await listen([first.address, second.address]);
    await until(() => maps() === 1);
    await first.maps[0]?.(mapOf(dead));
    await until(() => maps() === 2);
    await send(port, [seal(body(1, 0))]);
    // The first may be asked again before the second has answered, and then names itself.
    await until(() => second.heartbeats.length === 1 || first.heartbeats.length === 1);
  });

  it('is sent on when the process ends', async () => {
    const owner = await new Owner().start();
    const { port, router, counts, maps } = await listen([owner.address]);
    await until(() => maps() === 1);
    await send(port, [seal(body(1, 0))]);
    await until(() => counts.get('accepted') === 1);
    await router.drain(15_000);
    expect(owner.heartbeats).toHaveLength(1);
  });

  it('never enters when the address is taken, which is said', async () => {
    const { port } = await listen(['127.0.0.1:1']);
    const second = new UdpSocket({ bind: { host: '127.0.0.1', port }, receiveBuffer: 0, log }, () => {});
    await expect(second.start()).rejects.toThrowError(`Cannot listen on 127.0.0.1:${port} (UDP)`);
  });
});
