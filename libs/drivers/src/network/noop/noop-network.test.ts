import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeNetworkDriver } from '../network-driver.contract.ts';
import { NoopNetworkDriver } from './noop-network.ts';

describeNetworkDriver('noop in memory', async () => {
  const driver = new NoopNetworkDriver();
  return {
    driver,
    restart: () => driver,
    timeOutNextCall: () => driver.control.timeOutNext('*'),
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
    stop: () => rm(folder, { recursive: true }),
  };
});
