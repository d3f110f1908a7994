import { Database } from '@octavia/db';
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
import { Housekeeping } from './housekeeping.ts';

/** Housekeeping: keeps spares, deletes what is to be deleted, removes what is too old. */
async function main(): Promise<void> {
  const config = readConfig(process.env);
  const log = logger('housekeeping');
  const db = new Database({ ...config.database, applicationName: 'octavia housekeeping' });
  const housekeeping = new Housekeeping({ db, log, config });

  const self = new ProcessIdentity('housekeeping', [config.grpc.tls]);
  const server = new GrpcServer(config.grpc).add(ProcessServiceService, processHandlers(self));

  const parts = [db, server, ...housekeeping.parts, runAs(config.process.runAs)];
  await runUntilSignal(parts, { settings: readConfig });
}

main().catch(exitWithError);
