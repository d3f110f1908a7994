import { abandon, Database } from '@octavia/db';
import { LookupServiceService, ProcessServiceService } from '@octavia/proto';
import { exitWithError, GrpcServer, logger, ProcessIdentity, processHandlers, runUntilSignal } from '@octavia/service';
import { buildSlotsPart } from './build-slot-metrics.ts';
import { readConfig } from './config.ts';
import { deployment } from './deployment.ts';
import { buildSlotsOf, certificatesOf, driversOf, driversPart } from './drivers.ts';
import { FlowRunner } from './engine/flow-runner.ts';
import { definitions } from './flows/index.ts';
import { lookupHandlers } from './handlers/lookup.ts';
import { openWorld } from './open-world.ts';
import { showPushMetrics } from './push-metrics.ts';

/** The worker: claims flows and runs them. It has no public port. */
async function main(): Promise<void> {
  const config = readConfig(process.env);
  const { url } = config.database;
  const log = logger('worker');
  const db = new Database({ ...config.database, applicationName: 'octavia worker' });
  const leaseDb = new Database({ url, applicationName: 'octavia worker leases', poolSize: 1 });
  const drivers = await driversOf(config);
  const buildSlots = buildSlotsOf(config);
  const parts = openWorld(drivers, { ...config, buildSlots });
  const flows = new FlowRunner({ db, leaseDb, definitions, parts, limits: config.flows, log, giveUp: abandon });
  showPushMetrics();
  const server = new GrpcServer(config.grpc)
    .add(LookupServiceService, lookupHandlers(drivers, parts, db.reader))
    .add(ProcessServiceService, processHandlers(new ProcessIdentity('worker', certificatesOf(config))));

  // Starts left to right; drains and stops right to left.
  const all = [
    driversPart(drivers),
    db,
    leaseDb,
    deployment(db, drivers.network, parts.settings.agent.digest),
    buildSlotsPart(db, buildSlots),
    flows,
    server,
  ];
  await runUntilSignal(all, { settings: readConfig });
}

main().catch(exitWithError);
