import { HeartbeatServiceClient } from '@octavia/proto';
import { type Part, rpcClient, type TlsFiles } from '@octavia/service';
import type { OwnerConnection, Router } from './router.ts';

/** How long one try may take, in milliseconds. An owner that is slower is as good as gone for now. */
const REPORT_DEADLINE_MS = 5_000;
/** How long what waits may take to be sent when the process ends, in milliseconds. */
const DRAIN_MS = 2_000;

/** Connects to the owners of shards. */
export function ownerConnections(tls: TlsFiles): (owner: string) => OwnerConnection {
  return (owner) => {
    const client = rpcClient(HeartbeatServiceClient, owner, tls);
    return {
      report: (request) => client.reportHeartbeats(request, { deadlineMs: REPORT_DEADLINE_MS }),
      close: () => client.close(),
    };
  };
}

/** Sends what waits before the process ends. */
export function drainAtEnd(router: Router): Part {
  return { name: 'delivery', start: async () => {}, stop: () => router.drain(DRAIN_MS) };
}
