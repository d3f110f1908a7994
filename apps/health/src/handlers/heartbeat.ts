import type { HeartbeatServiceServer, ReportHeartbeatsRequest, ShardMap, WatchShardMapRequest } from '@octavia/proto';
import { serverStream, unary } from '@octavia/service';
import type { Receiver } from '../receiver.ts';
import type { ShardMapFeed } from '../shard-map.ts';
import { toBatch, toReply, toShardMap } from '../translate/heartbeat.ts';

export function heartbeatHandlers({ receiver, shardMap }: { receiver: Receiver; shardMap: ShardMapFeed }) {
  return {
    reportHeartbeats: unary(async (request: ReportHeartbeatsRequest) => toReply(await receiver.take(toBatch(request)))),

    watchShardMap: serverStream<WatchShardMapRequest, ShardMap>(async (_, { signal, send }) => {
      for await (const ranges of shardMap.watch(signal)) await send(toShardMap(ranges));
    }),
  } satisfies Partial<HeartbeatServiceServer>;
}
