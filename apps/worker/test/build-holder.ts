/** Claims the next flow, takes its build slot, and goes on as a worker that is busy: it renews the lease until it is killed. */
import { BuildSlots, Database, FlowQueue } from '@octavia/db';
import { FLOW_VERSIONS } from '@octavia/flows';
import { LeaseKeeper } from '../src/engine/lease-keeper.ts';

const url = process.env.TEST_DATABASE_URL ?? '';
const leaseMs = Number(process.env.TEST_LEASE_MS);
const db = new Database({ url, applicationName: 'test holder' });
await db.start();
const queue = new FlowQueue();
const leases = new LeaseKeeper(db, queue, leaseMs);
leases.start();
const known = Object.entries(FLOW_VERSIONS).map(([name, version]) => ({ name, version }));
const claimedAt = performance.now();
const claimed = await queue.claim(db.reader, { worker: 'holder', leaseMs, known, onlyUrgent: false });
if (!claimed) throw new Error('There is nothing to claim.');
const ignore = (): void => {};
leases.hold(claimed.lease, claimedAt, ignore, ignore);
const { id: flowId, priority } = claimed.flow;
await db.transaction((tx) => new BuildSlots().take(tx, { flowId, priority, slots: 1 }, 1));
process.stdout.write('holds\n');
