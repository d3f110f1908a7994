import { Database } from '@octavia/db';
import { exitWithError, GrpcServer, logger, runAs, runUntilSignal } from '@octavia/service';
import { readConfig } from './config.ts';
import { Housekeeping } from './housekeeping.ts';

/** Housekeeping: keeps spares, deletes what is to be deleted, removes what is too old. */
async function main(): Promise<void> {
  const config = readConfig(process.env);
  const log = logger('housekeeping');
  const db = new Database({ ...config.database, applicationName: 'octavia housekeeping' });
  const housekeeping = new Housekeeping({ db, log, config });

  // The server answers health checks only.
  await runUntilSignal([db, new GrpcServer(config.grpc), ...housekeeping.parts, runAs(config.process.runAs)]);
}

main().catch(exitWithError);
