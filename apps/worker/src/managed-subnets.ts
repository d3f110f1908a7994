import { type Database, type ManagedSubnet, Subnets } from '@octavia/db';
import type { NetworkDriver } from '@octavia/drivers';
import type { Part } from '@octavia/service';

/** Tells the database at the start which subnets' addresses it manages: those of the network driver. */
export function managedSubnets(db: Database, network: NetworkDriver): Part {
  return {
    name: 'managed subnets',
    async start() {
      const subnets = (await network.managedSubnets()).flatMap(({ vipRange, ...subnet }): ManagedSubnet[] =>
        vipRange ? [{ ...subnet, vipRange }] : [],
      );
      await db.transaction((tx) => new Subnets().upsert(tx, subnets));
    },
    async stop() {},
  };
}
