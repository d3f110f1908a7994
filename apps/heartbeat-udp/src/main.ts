/** heartbeat-udp: opens what amphorae say and hands it to the owner of their shard. It holds no database password. */
import { ProcessServiceService } from '@octavia/proto';
import {
  exitWithError,
  GrpcServer,
  logger,
  ProcessIdentity,
  processHandlers,
  runAs,
  runUntilSignal,
} from '@octavia/service';
import { readConfig } from './config.ts';
import { drainAtEnd, ownerConnections } from './delivery.ts';
import { Intake } from './intake.ts';
import { Opener } from './opener.ts';
import { OutcomeCounts } from './outcomes.ts';
import { Router } from './router.ts';
import { ShardMapWatch } from './shard-map.ts';
import { laneTimes } from './times.ts';
import { UdpSocket } from './udp-socket.ts';
import { batchObserver, DropWatch } from './watch-drops.ts';

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const log = logger('heartbeat-udp');
  const { tls } = config.grpc;
  const counts = new OutcomeCounts();
  const limits = {
    waitingEntries: config.waiting.entries,
    waitingBytes: config.waiting.bytes,
    knownAmphorae: config.knownAmphorae,
  };
  const observer = batchObserver(log, () => shardMap.renew());
  const router = new Router(ownerConnections(tls), counts, observer, laneTimes(config.batchMs), limits);
  const opener = new Opener([config.keys.current, config.keys.previous].filter((key) => key !== undefined));
  const intake = new Intake(opener, router, counts);
  const socket = new UdpSocket({ ...config.socket, log }, (datagram) => intake.receive(datagram));
  const shardMap = new ShardMapWatch({ addresses: config.health.addresses, tls, log }, (map) => router.follow(map));

  // The socket stops first, then what it brought is sent, then the map is let go.
  await runUntilSignal(
    [
      new GrpcServer(config.grpc).add(
        ProcessServiceService,
        processHandlers(new ProcessIdentity('heartbeat-udp', [tls])),
      ),
      shardMap,
      drainAtEnd(router),
      new DropWatch(counts, router, log),
      socket,
      runAs(config.process.runAs),
    ],
    { settings: readConfig },
  );
}

main().catch(exitWithError);
