import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NoopComputeDriver } from '../../compute/noop/noop-compute.ts';
import { describeNetworkDriver } from '../network-driver.contract.ts';
import { NoopNetworkDriver } from './noop-network.ts';

function amphoraeOf(compute: NoopComputeDriver) {
  return {
    start: async () => {
      const amphoraId = randomUUID();
      return { amphoraId, computeId: await compute.build({ amphoraId }) };
    },
    fence: async (amphoraId: string) => compute.fence((await compute.get({ amphoraId })).computeId),
  };
}

describeNetworkDriver('noop in memory', async () => {
  const compute = new NoopComputeDriver();
  const driver = new NoopNetworkDriver({ isFenced: (amphoraId) => compute.isFenced(amphoraId) });
  return {
    driver,
    restart: () => driver,
    timeOutNextCall: () => driver.control.timeOutNext('*'),
    amphorae: amphoraeOf(compute),
    stop: async () => {},
  };
});

describeNetworkDriver('noop in a folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'noop-'));
  const driver = new NoopNetworkDriver({ folder });
  return {
    driver,
    restart: () => new NoopNetworkDriver({ folder }),
    timeOutNextCall: () => driver.control.timeOutNext('*'),
    amphorae: amphoraeOf(new NoopComputeDriver({ folder })),
    stop: () => rm(folder, { recursive: true }),
  };
});
