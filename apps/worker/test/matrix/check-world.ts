/** Prints what is untrue in an installation with noop drivers, as JSON. Arguments: the database, and the folder of the drivers. */
import { Database, Seats } from '@octavia/db';
import { NoopAmphoraDriver, NoopComputeDriver, NoopNetworkDriver } from '@octavia/drivers';
import { untruths } from './truth.ts';

const [url = '', folder = ''] = process.argv.slice(2);
const db = new Database({ url, applicationName: 'check' });
await db.start();
const found = await untruths({
  db,
  compute: new NoopComputeDriver({ folder }),
  network: new NoopNetworkDriver({ folder }),
  amphora: new NoopAmphoraDriver({ folder }),
  serving: (id) => new Seats().ofLoadBalancer(db.reader, id),
});
await db.stop();
process.stdout.write(JSON.stringify(found));
