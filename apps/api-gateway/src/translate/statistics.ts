import type { Traffic } from '@octavia/db';
import type { Statistics } from '@octavia/proto';

export function writeStatistics(traffic: Traffic): Statistics {
  return {
    bytesIn: traffic.bytesIn,
    bytesOut: traffic.bytesOut,
    activeConnections: traffic.activeConnections,
    totalConnections: traffic.totalConnections,
    requestErrors: traffic.requestErrors,
    updatedAt: traffic.updatedAt ?? undefined,
  };
}
