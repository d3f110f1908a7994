import { Database, namingDatabaseTrouble } from '@octavia/db';
import { HeartbeatServiceService, ProcessServiceService } from '@octavia/proto';
import {
  exitWithError,
  GrpcServer,
  logger,
  ProcessIdentity,
  processHandlers,
  runAs,
  runUntilSignal,
} from '@octavia/service';
import { monotonic } from './clock.ts';
import { advertisedAddress, readConfig } from './config.ts';
import { heartbeatHandlers } from './handlers/heartbeat.ts';
import { Health } from './health.ts';

/** Health: owns the heartbeats of its shards, writes statuses, and starts the replacement of what fell silent. */
async function main(): Promise<void> {
  const config = readConfig(process.env);
  const log = logger('health');
  const db = new Database({ ...config.database, applicationName: 'octavia health' });
  const health = new Health({ db, clock: monotonic, log, address: () => advertisedAddress(config), config });
  const server = new GrpcServer({ ...config.grpc, nameError: namingDatabaseTrouble })
    .add(HeartbeatServiceService, heartbeatHandlers(health))
    .add(ProcessServiceService, processHandlers(new ProcessIdentity('health', [config.grpc.tls])));

  // Starts left to right; drains and stops right to left.
  await runUntilSignal([db, server, ...health.parts, runAs(config.process.runAs)], { settings: readConfig });
}

main().catch(exitWithError);
