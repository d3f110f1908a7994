import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { StaleFence } from '../errors.ts';
import { type EpochFences, FolderFences, MemoryFences } from './epoch-fences.ts';

const at = (epoch: number, flowId = 'f') => ({ fence: { flowId, epoch } });

for (const [name, open] of [
  ['in memory', async () => new MemoryFences()],
  ['in a folder', async () => new FolderFences(await folder())],
] as [string, () => Promise<EpochFences>][]) {
  describe(`epochs ${name}`, () => {
    it('let in the newest holder, as often as it comes, and refuse older ones', async () => {
      const fences = await open();
      for (const epoch of [1, 1, 5, 5]) await fences.admit(at(epoch));
      await expect(fences.admit(at(4))).rejects.toBeInstanceOf(StaleFence);
      await fences.admit(at(5));
    });

    it('are of one flow each, and of no concern to calls without one', async () => {
      const fences = await open();
      await fences.admit(at(9));
      await fences.admit(at(1, 'g'));
      await fences.admit(undefined);
      await fences.admit({});
    });

    it('compare as numbers', async () => {
      const fences = await open();
      await fences.admit(at(10));
      await expect(fences.admit(at(9))).rejects.toBeInstanceOf(StaleFence);
    });
  });
}

describe('epochs in a folder', () => {
  it('are shared by all processes that have it', async () => {
    const path = await folder();
    await new FolderFences(path).admit(at(2));
    await expect(new FolderFences(path).admit(at(1))).rejects.toBeInstanceOf(StaleFence);
  });

  it('let in no older holder, however two come at once', async () => {
    const path = await folder();
    const calls = Array.from({ length: 20 }, (_, epoch) => new FolderFences(path).admit(at(epoch)));
    const results = await Promise.allSettled(calls);
    expect(results.at(-1)?.status).toBe('fulfilled');
    await expect(new FolderFences(path).admit(at(18))).rejects.toBeInstanceOf(StaleFence);
  });

  it('take any id of a flow as what it is: a name', async () => {
    await new FolderFences(await folder()).admit(at(1, '../../etc'));
  });
});

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'epochs-'));
  onTestFinished(() => rm(path, { recursive: true }));
  return join(path, 'made-when-needed');
}
