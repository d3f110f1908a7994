/** A worker with the test flows, as a process of its own, for tests that kill or stop it. */
import { Database } from '@octavia/db';
import { logger } from '@octavia/service';
import { FlowRunner } from '../src/engine/flow-runner.ts';
import { Outside, testFlows } from './test-flows.ts';

const url = process.env.TEST_DATABASE_URL ?? '';
const db = new Database({ url, applicationName: 'test worker' });
const leaseDb = new Database({ url, applicationName: 'test worker leases', poolSize: 1 });
await Promise.all([db.start(), leaseDb.start()]);
const runner = new FlowRunner({
  db,
  leaseDb,
  definitions: testFlows.filter(({ version }) => String(version) !== process.env.TEST_WITHOUT_VERSION),
  parts: { world: new Outside(db) },
  limits: { leaseMs: Number(process.env.TEST_LEASE_MS), concurrency: 4, failoverSlots: 1 },
  log: logger('test worker'),
});
await runner.start();
process.stdout.write('ready\n');
