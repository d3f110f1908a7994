import { FenceNotConfirmed } from '@octavia/drivers';
import { rotateAmphoraCertificate, sweepOrphans } from '@octavia/flows';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requester, TestWorld } from './world.ts';

let world: TestWorld;
beforeEach(async () => {
  world = await TestWorld.open();
  await world.work();
});
afterEach(() => world.close());

const sweep = (graceMs: number) =>
  world.db.transaction((tx) => world.flows.start(tx, sweepOrphans(requester, { graceMs })));
const ended = async (id: string) => {
  await world.until('the flow to end', async () => {
    const { state } = await world.flows.get(world.db.reader, id);
    return state !== 'QUEUED' && state !== 'RUNNING';
  });
  return (await world.flows.get(world.db.reader, id)).state;
};
const outside = async () => (await world.compute.list()).map(({ amphoraId }) => amphoraId).sort();

describe('a sweep for orphans', () => {
  it('deletes the instances that the database does not know, and leaves the others', async () => {
    const spare = await world.spare();
    const orphan = uuidv7();
    await world.compute.build({ amphoraId: orphan });
    expect(await outside()).toEqual([spare, orphan].sort());
    expect(await ended(await sweep(0))).toBe('SUCCEEDED');
    expect(await outside()).toEqual([spare]);
  });

  it('gives back the address of a load balancer that is not there, and of no other', async () => {
    const id = await world.create();
    const { vip } = await world.settled(id);
    const gone = uuidv7();
    await world.network.allocateVip({ loadBalancerId: gone, subnetId: vip.subnetId, address: '198.18.9.9' });
    expect(await ended(await sweep(0))).toBe('SUCCEEDED');
    expect(await world.network.holdings()).toEqual([id]);
  });

  it('leaves alone what is younger than the grace', async () => {
    const young = uuidv7();
    await world.compute.build({ amphoraId: young });
    expect(await ended(await sweep(60_000))).toBe('SUCCEEDED');
    expect(await outside()).toEqual([young]);
  });

  it('deletes the other orphans when one cannot be isolated, and tries that one again', async () => {
    const orphans = [uuidv7(), uuidv7()];
    for (const amphoraId of orphans) await world.compute.build({ amphoraId });
    world.compute.control.failNext('fence', new FenceNotConfirmed('x', 'a test'));
    expect(await ended(await sweep(0))).toBe('SUCCEEDED');
    expect(await outside()).toEqual([]);
  });
});

describe('the rotation of a certificate', () => {
  const rotate = (amphoraId: string, loadBalancerId: string | null) =>
    world.db.transaction((tx) => world.flows.start(tx, rotateAmphoraCertificate(amphoraId, loadBalancerId, requester)));

  it('gives the agent a new one, and notes when it ends', async () => {
    const id = await world.create();
    await world.settled(id);
    const [amphora] = await world.serving(id);
    if (!amphora) throw new Error('no amphora');
    await world.db.reader.query('UPDATE amphora SET cert_expires_at = now() WHERE id = $1', [amphora.id]);
    expect(await ended(await rotate(amphora.id, id))).toBe('SUCCEEDED');
    const calls = world.amphora.control.calls.filter(({ method }) => method === 'rotateAgentCertificate');
    expect(calls).toHaveLength(1);
    const { certExpiresAt } = await world.amphorae.get(world.db.reader, amphora.id);
    expect(certExpiresAt?.getTime()).toBeGreaterThan(Date.now() + 86_400_000);
    expect((await world.lb(id)).provisioningStatus).toBe('ACTIVE');
  });

  it('does nothing to an amphora that is on its way out', async () => {
    const spare = await world.spare();
    await world.db.transaction((tx) => world.amphorae.setStatus(tx, spare, 'PENDING_DELETE'));
    expect(await ended(await rotate(spare, null))).toBe('CANCELLED');
  });
});
