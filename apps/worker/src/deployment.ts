import { AgentConfigs, type Database, Deployments, type ManagedSubnet, Subnets } from '@octavia/db';
import type { NetworkDriver } from '@octavia/drivers';
import type { Part } from '@octavia/service';

/**
 * Tells the database at the start what the drivers can do, so that the API admits nothing else, and which subnets' addresses it
 * manages; and what agents are to be told from now on.
 */
export function deployment(db: Database, network: NetworkDriver, agentDigest: string): Part {
  return {
    name: 'deployment',
    async start() {
      const subnets = (await network.managedSubnets()).flatMap(({ vipRange, ...subnet }): ManagedSubnet[] =>
        vipRange ? [{ ...subnet, vipRange }] : [],
      );
      await db.transaction(async (tx) => {
        await new Deployments().put(tx, network.abilities);
        await new Subnets().upsert(tx, subnets);
        await new AgentConfigs().want(tx, agentDigest);
      });
    },
    async stop() {},
  };
}
