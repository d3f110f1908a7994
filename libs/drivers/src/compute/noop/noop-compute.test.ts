import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AmphoraBuildError } from '../../errors.ts';
import { SimulatedCrash } from '../../noop/noop-control.ts';
import { describeComputeDriver } from '../compute-driver.contract.ts';
import { NoopComputeDriver } from './noop-compute.ts';

describeComputeDriver('noop in memory', async () => {
  const driver = new NoopComputeDriver();
  return harness(
    driver,
    () => driver,
    async () => {},
  );
});

describeComputeDriver('noop in a folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'noop-'));
  const open = () => new NoopComputeDriver({ folder });
  return harness(open(), open, () => rm(folder, { recursive: true }));
});

function harness(driver: NoopComputeDriver, restart: () => NoopComputeDriver, stop: () => Promise<void>) {
  const amphoraOf = (computeId: string) => computeId.slice('noop:'.length);
  return {
    driver,
    restart,
    stop,
    started: async () => {},
    suspend: (computeId: string) => driver.disturb(amphoraOf(computeId), 'SUSPENDED'),
    kill: (computeId: string) => driver.disturb(amphoraOf(computeId), 'STOPPED'),
    breakNext: () => driver.control.timeOutNext('build'),
  };
}

describe('the noop compute driver', () => {
  it('fails the calls that it was told to fail, and does nothing in them', async () => {
    const driver = new NoopComputeDriver();
    driver.control.failNext('build', new AmphoraBuildError('no room'), 2);
    for (let i = 0; i < 2; i++) await expect(driver.build({ amphoraId: randomUUID() })).rejects.toThrow('no room');
    expect(await driver.list()).toEqual([]);
    await driver.build({ amphoraId: randomUUID() });
  });

  it('does its work and then "crashes", so that a test sees what the next worker finds', async () => {
    const driver = new NoopComputeDriver();
    driver.control.crashNext('build');
    await expect(driver.build({ amphoraId: randomUUID() })).rejects.toBeInstanceOf(SimulatedCrash);
    expect(await driver.list()).toHaveLength(1);
  });

  it('delays a call, which an abort ends at once', async () => {
    const driver = new NoopComputeDriver();
    driver.control.delayNext('*', 3_600_000);
    const stop = new AbortController();
    const call = driver.list({ signal: stop.signal });
    stop.abort(new Error('asked to stop'));
    await expect(call).rejects.toThrow('asked to stop');
  });

  it('records calls and how they ended, without the content of files', async () => {
    const driver = new NoopComputeDriver();
    const amphoraId = randomUUID();
    await driver.build({ amphoraId, configDriveFiles: { '/key.pem': 'SECRET' }, userData: 'SECRET' });
    driver.control.failNext('list', new Error('x'));
    await driver.list().catch(() => {});
    expect(driver.control.calls).toEqual([
      { method: 'build', args: [{ amphoraId, configDriveFiles: ['/key.pem'] }], fence: null, outcome: 'done' },
      { method: 'list', args: [], fence: null, outcome: 'failed' },
    ]);
  });

  it('believes in instances that another process made, where it was told to adopt', async () => {
    const driver = new NoopComputeDriver({ adopt: true });
    const computeId = `noop:${randomUUID()}`;
    expect(await driver.get({ computeId })).toMatchObject({ status: 'ACTIVE' });
    await driver.fence(computeId);
    await expect(driver.get({ computeId })).rejects.toMatchObject({ reason: 'INSTANCE_NOT_FOUND' });
  });

  it('does not bring back what one process deletes while another, which was stopped for long, fences it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'noop-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const [one, other] = [new NoopComputeDriver({ folder }), new NoopComputeDriver({ folder })];
    for (let i = 0; i < 50; i++) {
      const computeId = await one.build({ amphoraId: randomUUID() });
      await Promise.all([one.fence(computeId), other.delete(computeId)]);
    }
    expect(await one.list()).toEqual([]);
  });

  it('sees through a shared folder what another process did', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'noop-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const [one, other] = [new NoopComputeDriver({ folder }), new NoopComputeDriver({ folder })];
    const computeId = await one.build({ amphoraId: randomUUID() });
    await other.fence(computeId);
    expect(await one.status(computeId)).toBe('DOWN');
  });

  it('builds on the host with the least, and apart from a peer while there is another host', async () => {
    const driver = new NoopComputeDriver({ hosts: ['h1', 'h2'] });
    const build = async (apartFrom: string[] = []) => {
      const amphoraId = randomUUID();
      const computeId = await driver.build({ amphoraId, apartFrom });
      return { amphoraId, host: (await driver.get({ computeId })).computeHost };
    };
    const first = await build();
    const second = await build();
    expect([first.host, second.host]).toEqual(['h1', 'h2']);
    for (let pair = 0; pair < 3; pair++) expect((await build([second.amphoraId])).host).toBe('h1');
    const only = new NoopComputeDriver({ hosts: ['h1'] });
    const peer = randomUUID();
    await only.build({ amphoraId: peer });
    const computeId = await only.build({ amphoraId: randomUUID(), apartFrom: [peer] });
    expect((await only.get({ computeId })).computeHost).toBe('h1');
  });
});
