import { describe, expect, it } from 'vitest';
import { type DriversConfig, openDrivers } from './open-drivers.ts';

const noop: DriversConfig = {
  compute: { driver: 'noop' },
  network: { driver: 'noop' },
  amphora: { driver: 'noop' },
  certificates: { driver: 'noop' },
};

describe('opening the drivers', () => {
  it('gives all four by name', async () => {
    const drivers = openDrivers(noop);
    expect([drivers.compute.name, drivers.network.name, drivers.amphora.name, drivers.certificates.name]).toEqual(
      Array(4).fill('noop'),
    );
    await drivers.network.managedSubnets();
    expect(drivers.breakers()).toMatchObject([{ driver: 'network', endpoint: 'noop', state: 'closed' }]);
    await drivers.close();
  });

  it('lets noop instances outlive the worker that made them', async () => {
    const computeId = await openDrivers(noop).compute.build({ amphoraId: 'a0000000-0000-4000-8000-000000000001' });
    expect(await openDrivers(noop).compute.status(computeId)).toBe('UP');
  });

  it('names every driver that is not there, and those that are', () => {
    const wrong = { ...noop, compute: { driver: 'nova' }, amphora: { driver: 'x' } } as unknown as DriversConfig;
    expect(() => openDrivers(wrong)).toThrow(/compute driver "nova" is not one of noop, local; amphora driver "x"/);
  });
});
