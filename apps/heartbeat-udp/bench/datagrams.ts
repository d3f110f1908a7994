/** Measures how many heartbeats this machine opens, coalesces and hands on in a second of one CPU, beside bare receiving. */
import { fork } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { deflateSync } from 'node:zlib';
import type { ReportHeartbeatsRequest } from '@octavia/proto';
import { ReportHeartbeatsRequest as Request } from '@octavia/proto';
import { Intake } from '../src/intake.ts';
import { Opener } from '../src/opener.ts';
import { OutcomeCounts } from '../src/outcomes.ts';
import { Router } from '../src/router.ts';

const KEY = 'benchmark-key';
/** Amphorae that take turns. */
const AMPHORAE = 20_000;
const SECONDS = Number(process.env.BENCH_SECONDS ?? 4);
const SIZES = { small: [1, 2], big: [5, 50] } as const;

function uuid(kind: number, n: number): string {
  return `${kind}0000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
}

function datagram(amphora: number, seq: number, [listeners, members]: readonly [number, number]): Buffer {
  const stats = () => ({ tx: seq * 7919, rx: amphora * 31, conns: 12, totconns: 345, ereq: 0 });
  const ids = Array.from({ length: listeners }, (_, n) => uuid(1, amphora * 10 + n));
  const perPool = members / listeners;
  const body = {
    id: uuid(7, amphora),
    seq,
    ver: 3,
    listeners: Object.fromEntries(ids.map((id) => [id, { status: 'OPEN', stats: stats() }])),
    pools: Object.fromEntries(
      ids.map((id, pool) => [
        `${uuid(2, amphora * 10 + pool)}:${id}`,
        {
          status: 'UP',
          members: Object.fromEntries(
            Array.from({ length: perPool }, (_, n) => [uuid(3, (amphora * 10 + pool) * 100 + n), 'UP']),
          ),
        },
      ]),
    ),
  };
  const compressed = deflateSync(JSON.stringify(body), { level: 9 });
  return Buffer.concat([compressed, Buffer.from(createHmac('sha256', KEY).update(compressed).digest('hex'))]);
}

/** A router whose owner only encodes, as the call of gRPC would. */
function pipeline() {
  const counts = new OutcomeCounts();
  const report = async (request: ReportHeartbeatsRequest) => {
    Request.encode(request).finish();
    return { wantedStatuses: [], notOwned: [] };
  };
  const times = { batchMs: 50, firstRetryMs: 50, longestRetryMs: 1000, aliveMs: 1_000, nowMs: () => performance.now() };
  const router = new Router(() => ({ report, close: () => {} }), counts, { onBatch: () => {} }, times);
  router.follow({ ranges: [{ first: 0, last: 4095, owner: 'bench:1', epoch: 1n }] });
  return { counts, intake: new Intake(new Opener([KEY]), router, counts) };
}

function cpuSeconds(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6;
}

async function receive(size: keyof typeof SIZES, handle: (datagram: Buffer) => void): Promise<number> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 8_388_608 });
  let packets = 0;
  socket.on('message', (message) => {
    packets += 1;
    handle(message);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const sender = fork(fileURLToPath(import.meta.url), ['send', size, String(socket.address().port)], {
    execArgv: process.execArgv,
  });
  while (packets < 1000) await new Promise((resolve) => setTimeout(resolve, 10));
  const before = packets;
  const usage = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
  const perCpuSecond = (packets - before) / cpuSeconds(usage);
  sender.kill('SIGKILL');
  await once(sender, 'exit');
  socket.close();
  return perCpuSecond;
}

function send(size: keyof typeof SIZES, port: number): void {
  const ready = Array.from({ length: AMPHORAE / 10 }, (_, n) => datagram(n, n, SIZES[size]));
  const socket = createSocket('udp4');
  let next = 0;
  const more = () => {
    for (let n = 0; n < 64; n++) {
      const one = ready[next++ % ready.length];
      if (one) socket.send(one, port, '127.0.0.1');
    }
    setImmediate(more);
  };
  more();
}

async function main(): Promise<void> {
  const [mode, size, port] = process.argv.slice(2);
  if (mode === 'send') return send(size as keyof typeof SIZES, Number(port));
  const lines: string[] = [];
  for (const name of ['small', 'big'] as const) {
    const bare = await receive(name, () => {});
    const { intake, counts } = pipeline();
    const whole = await receive(name, (message) => intake.receive(message));
    const example = datagram(1, 1, SIZES[name]);
    lines.push(
      `${name} (${example.length} bytes): whole ${Math.round(whole)}/CPU-s, bare receive ${Math.round(bare)}/CPU-s, ` +
        `ratio ${(whole / bare).toFixed(2)}, accepted ${counts.get('accepted')}, replayed ${counts.get('replayed')}`,
    );
    // Without the socket, each amphora for the first time: its whole status is read and handed on, as after a change of owner.
    const alone = pipeline();
    const fresh = Array.from({ length: AMPHORAE }, (_, n) => datagram(n, 0, SIZES[name]));
    for (const one of fresh.slice(0, 2000)) alone.intake.receive(one);
    const usage = process.cpuUsage();
    for (const one of fresh) alone.intake.receive(one);
    await new Promise((resolve) => setTimeout(resolve, 200));
    lines.push(
      `${name}: first datagram of an amphora, without the socket: ${((cpuSeconds(usage) / fresh.length) * 1e6).toFixed(1)} us`,
    );
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  process.exit(0);
}

await main();
