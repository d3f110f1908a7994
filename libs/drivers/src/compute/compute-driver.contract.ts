import { randomUUID } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  AmphoraBuildError,
  AmphoraComputeError,
  ComputeUnavailable,
  InstanceNotFoundError,
  InstanceOfAnotherHost,
  NotImplemented,
  NotSuspendedError,
  StaleFence,
} from '../errors.ts';
import { type ComputeDriver, MAX_CONFIG_DRIVE_FILE_BYTES, MAX_CONFIG_DRIVE_FILES } from './compute-driver.ts';

export interface ComputeHarness {
  readonly driver: ComputeDriver;
  /** Waits until the instance's processes run. */
  readonly started: (computeId: string) => Promise<void>;
  /** Suspends the instance from outside. */
  readonly suspend: (computeId: string) => Promise<void>;
  /** Kills the instance from outside. */
  readonly kill: (computeId: string) => Promise<void>;
  /** A driver for the same world, as a worker has it that was started after a crash. */
  readonly restart: () => ComputeDriver;
  /** Makes what is behind the driver fail once; null where there is nothing that could. */
  readonly breakNext: (() => void) | null;
  readonly stop: () => Promise<void>;
}

/** The promises of `ComputeDriver`, as tests. */
export function describeComputeDriver(name: string, start: () => Promise<ComputeHarness>): void {
  const open = async () => {
    const harness = await start();
    onTestFinished(harness.stop);
    return harness;
  };
  const built = async () => {
    const harness = await open();
    const amphoraId = randomUUID();
    const computeId = await harness.driver.build({ amphoraId });
    await harness.started(computeId);
    return { ...harness, amphoraId, computeId };
  };

  describe(`${name} as a ComputeDriver`, () => {
    describe('build', () => {
      it('makes an instance with every parameter of the 0.5 interface', async () => {
        const { driver, started } = await open();
        const amphoraId = randomUUID();
        const computeId = await driver.build({
          amphoraId,
          amphoraType: 'VM',
          amphoraFlavor: 'small',
          imageId: 'image-1',
          keys: ['ops'],
          secGroups: ['lb-mgmt'],
          networkIds: ['mgmt'],
          configDriveFiles: { '/etc/octavia/certs/server.pem': Buffer.from('bytes'), '/etc/hostname': 'text' },
          userData: '#cloud-config\n',
        });
        await started(computeId);
        expect(await driver.get({ computeId })).toMatchObject({
          computeId,
          amphoraId,
          status: 'ACTIVE',
          fault: null,
          imageId: 'image-1',
          computeFlavor: 'small',
        });
        expect(await driver.status(computeId)).toBe('UP');
      });

      it('returns within 200 ms of work of its own', async () => {
        const { driver } = await open();
        await driver.list();
        const begin = performance.now();
        await driver.build({ amphoraId: randomUUID() });
        expect(performance.now() - begin).toBeLessThan(1000); // Five times what is promised.
      });

      it('finds what an earlier call built, also after a crash of the worker', async () => {
        const { driver, restart, amphoraId, computeId } = await built();
        expect(await driver.build({ amphoraId })).toBe(computeId);
        expect(await restart().build({ amphoraId })).toBe(computeId);
        expect(await restart().list()).toHaveLength(1);
      });

      it('gives each instance a management address of its own, also when many are built at once', async () => {
        const { driver } = await open();
        const ids = Array.from({ length: 4 }, () => randomUUID());
        await Promise.all(ids.map((amphoraId) => driver.build({ amphoraId })));
        const addresses = (await driver.list()).map(({ lbNetworkIp }) => lbNetworkIp);
        expect(new Set(addresses).size).toBe(ids.length);
        expect(addresses).not.toContain(null);
      });

      it('refuses more than five config-drive files, and files of more than 10 KiB', async () => {
        const { driver } = await open();
        const amphoraId = randomUUID();
        const files = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`/f${i}`, 'x']));
        const long = { '/long': 'x'.repeat(MAX_CONFIG_DRIVE_FILE_BYTES + 1) };
        const refused = async (configDriveFiles: Record<string, string>) =>
          await expect(driver.build({ amphoraId, configDriveFiles })).rejects.toBeInstanceOf(AmphoraBuildError);
        await refused(files(MAX_CONFIG_DRIVE_FILES + 1));
        await refused(long);
        await expect(driver.get({ amphoraId })).rejects.toBeInstanceOf(InstanceNotFoundError);
        await driver.build({ amphoraId, configDriveFiles: files(MAX_CONFIG_DRIVE_FILES) });
        await driver.build({
          amphoraId: randomUUID(),
          configDriveFiles: { '/whole': 'x'.repeat(MAX_CONFIG_DRIVE_FILE_BYTES) },
        });
      });

      it('counts bytes, not characters', async () => {
        const { driver } = await open();
        const configDriveFiles = { '/f': 'é'.repeat(MAX_CONFIG_DRIVE_FILE_BYTES / 2 + 1) };
        await expect(driver.build({ amphoraId: randomUUID(), configDriveFiles })).rejects.toBeInstanceOf(
          AmphoraBuildError,
        );
      });

      it.each(['relative', '/../outside', '/a/../../b', '/folder/'])('refuses the file path %s', async (path) => {
        const { driver } = await open();
        const building = driver.build({ amphoraId: randomUUID(), configDriveFiles: { [path]: 'x' } });
        await expect(building).rejects.toBeInstanceOf(AmphoraBuildError);
      });

      it.each(['', '../x', 'a/b', 'NO-UUID'])('refuses the amphora id %j', async (amphoraId) => {
        const { driver } = await open();
        await expect(driver.build({ amphoraId })).rejects.toBeInstanceOf(AmphoraBuildError);
      });

      it('throws one tree of errors, with a catch-all at its root', () => {
        for (const kind of [AmphoraBuildError, InstanceNotFoundError, NotSuspendedError]) {
          expect(new kind('')).toBeInstanceOf(AmphoraComputeError);
        }
        expect(new NotImplemented('x', 'y').reason).toBe('NOT_IMPLEMENTED');
      });
    });

    describe('get, status and list', () => {
      it('finds an instance by compute id and by amphora id', async () => {
        const { driver, amphoraId, computeId } = await built();
        expect(await driver.get({ amphoraId })).toEqual(await driver.get({ computeId }));
        expect(await driver.list()).toEqual([await driver.get({ amphoraId })]);
      });

      it('finds instances again after a crash of the worker', async () => {
        const { restart, computeId, driver } = await built();
        expect(await restart().get({ computeId })).toEqual(await driver.get({ computeId }));
        expect(await restart().status(computeId)).toBe('UP');
      });

      it('knows no instance that was not built', async () => {
        const { driver } = await open();
        await expect(driver.get({ amphoraId: randomUUID() })).rejects.toBeInstanceOf(InstanceNotFoundError);
        expect(await driver.list()).toEqual([]);
      });

      it('tells that a killed instance is STOPPED, and does not start it again', async () => {
        const { driver, kill, amphoraId, computeId } = await built();
        await kill(computeId);
        expect(await driver.get({ computeId })).toMatchObject({ status: 'STOPPED' });
        expect(await driver.status(computeId)).toBe('DOWN');
        expect(await driver.build({ amphoraId })).toBe(computeId);
        expect(await driver.status(computeId)).toBe('DOWN');
      });

      it("refuses another host's instance, whatever it is asked to do", async () => {
        const { driver } = await open();
        const foreign = `9b5c1d1e-0000-4000-8000-000000000000:${randomUUID()}`;
        for (const call of ['status', 'delete', 'fence', 'resume'] as const) {
          await expect(driver[call](foreign)).rejects.toBeInstanceOf(InstanceOfAnotherHost);
        }
        await expect(driver.get({ computeId: foreign })).rejects.toBeInstanceOf(InstanceOfAnotherHost);
      });
    });

    describe('delete', () => {
      it('leaves no instance, and succeeds when there is none', async () => {
        const { driver, amphoraId, computeId } = await built();
        await driver.delete(computeId);
        await driver.delete(computeId);
        await expect(driver.get({ amphoraId })).rejects.toBeInstanceOf(InstanceNotFoundError);
        expect(await driver.list()).toEqual([]);
      });

      it('is final: a late build of the same amphora is refused', async () => {
        const { driver, restart, amphoraId, computeId } = await built();
        await driver.delete(computeId);
        await expect(driver.build({ amphoraId })).rejects.toBeInstanceOf(AmphoraBuildError);
        await expect(restart().build({ amphoraId })).rejects.toBeInstanceOf(AmphoraBuildError);
      });
    });

    describe('replaceFiles', () => {
      const files = { '/etc/octavia/certs/server.pem': 'new' };

      it('gives a living instance new files, as often as it is asked', async () => {
        const { driver, restart, computeId } = await built();
        await driver.replaceFiles(computeId, files);
        await restart().replaceFiles(computeId, files);
        expect(await driver.status(computeId)).toBe('UP');
      });

      it('refuses what a build would refuse', async () => {
        const { driver, computeId } = await built();
        const refused: Record<string, string>[] = [
          { relative: 'x' },
          { '/long': 'x'.repeat(MAX_CONFIG_DRIVE_FILE_BYTES + 1) },
        ];
        for (const bad of refused) {
          await expect(driver.replaceFiles(computeId, bad)).rejects.toBeInstanceOf(AmphoraComputeError);
        }
      });

      it('does nothing to an instance that is not there, or was fenced or deleted', async () => {
        const { driver, computeId, amphoraId } = await built();
        const refused = async (id: string) =>
          await expect(driver.replaceFiles(id, files)).rejects.toBeInstanceOf(InstanceNotFoundError);
        await refused(computeId.replace(amphoraId, randomUUID()));
        await driver.fence(computeId);
        await refused(computeId);
        await driver.delete(computeId);
        await refused(computeId);
      });
    });

    describe('fence', () => {
      it('leaves the instance STOPPED for good', async () => {
        const { driver, amphoraId, computeId } = await built();
        await driver.fence(computeId);
        expect(await driver.status(computeId)).toBe('DOWN');
        await driver.fence(computeId);
        await expect(driver.build({ amphoraId })).rejects.toBeInstanceOf(AmphoraBuildError);
      });

      it('succeeds where there is no instance, and makes sure that there can be none', async () => {
        const { driver, computeId, amphoraId } = await built();
        const other = randomUUID();
        await driver.fence(computeId.replace(amphoraId, other));
        await expect(driver.build({ amphoraId: other })).rejects.toBeInstanceOf(AmphoraBuildError);
      });
    });

    describe('forbid', () => {
      it('makes sure that no instance of the amphora is built, and leaves one that is there alone', async () => {
        const { driver, computeId, amphoraId } = await built();
        const other = randomUUID();
        for (const id of [other, amphoraId]) {
          await driver.forbid(id);
          await expect(driver.build({ amphoraId: id })).rejects.toBeInstanceOf(AmphoraBuildError);
        }
        expect(await driver.status(computeId)).toBe('UP');
        await driver.fence(computeId);
        expect(await driver.status(computeId)).toBe('DOWN');
      });
    });

    describe('resume', () => {
      it('continues a suspended instance', async () => {
        const { driver, suspend, computeId } = await built();
        await suspend(computeId);
        expect(await driver.status(computeId)).toBe('DOWN');
        await driver.resume(computeId);
        await expect.poll(() => driver.status(computeId)).toBe('UP');
      });

      it('refuses an instance that is not suspended', async () => {
        const { driver, computeId } = await built();
        await expect(driver.resume(computeId)).rejects.toBeInstanceOf(NotSuspendedError);
      });
    });

    describe('leftovers', () => {
      it('are everything that was made, also for another worker, until it is removed', async () => {
        const { driver, restart, amphoraId, computeId } = await built();
        const all = await restart().leftovers();
        expect(all).toContainEqual(expect.objectContaining({ kind: 'instance', name: computeId, amphoraId }));
        expect(new Set(all.map((one) => one.amphoraId))).toEqual(new Set([amphoraId]));
        for (const one of all) await driver.removeLeftover(one);
        for (const one of all) await driver.removeLeftover(one);
        expect(await restart().leftovers()).toEqual([]);
        expect(await driver.list()).toEqual([]);
        await expect(driver.build({ amphoraId })).rejects.toBeInstanceOf(AmphoraBuildError);
      });

      it('are none after a deletion', async () => {
        const { driver, computeId } = await built();
        await driver.delete(computeId);
        expect(await driver.leftovers()).toEqual([]);
      });

      it('are not removed by a worker that lost its flow', async () => {
        const { driver, amphoraId } = await built();
        const at = (epoch: number) => ({ fence: { flowId: 'f', epoch } });
        await driver.get({ amphoraId }, at(2));
        const [one] = await driver.leftovers();
        if (!one) throw new Error('There is none.');
        await expect(driver.removeLeftover(one, at(1))).rejects.toBeInstanceOf(StaleFence);
        expect(await driver.list()).toHaveLength(1);
      });
    });

    describe('a call', () => {
      it('of a worker that lost its flow is refused, and changes nothing', async () => {
        const { driver, computeId, restart } = await built();
        const at = (epoch: number) => ({ fence: { flowId: 'flow-1', epoch } });
        await driver.get({ computeId }, at(2));
        await expect(driver.delete(computeId, at(1))).rejects.toMatchObject({
          reason: 'STALE_FENCE',
          kind: 'conflict',
        });
        await expect(driver.build({ amphoraId: randomUUID() }, at(1))).rejects.toBeInstanceOf(StaleFence);
        await expect(driver.replaceFiles(computeId, { '/f': 'x' }, at(1))).rejects.toBeInstanceOf(StaleFence);
        await expect(restart().fence(computeId, at(1))).rejects.toBeInstanceOf(StaleFence);
        expect(await driver.status(computeId, at(2))).toBe('UP');
        expect(await driver.status(computeId, { fence: { flowId: 'flow-2', epoch: 1 } })).toBe('UP');
      });

      it('that was aborted does nothing', async () => {
        const { driver, computeId } = await built();
        const signal = AbortSignal.abort(new Error('asked to stop'));
        await expect(driver.delete(computeId, { signal })).rejects.toThrow('asked to stop');
        expect(await driver.status(computeId)).toBe('UP');
      });

      it('that cannot be made now is ComputeUnavailable, and succeeds later', async () => {
        const { driver, breakNext } = await open();
        if (!breakNext) return;
        breakNext();
        const amphoraId = randomUUID();
        await expect(driver.build({ amphoraId })).rejects.toBeInstanceOf(ComputeUnavailable);
        await driver.build({ amphoraId });
      });
    });
  });
}
