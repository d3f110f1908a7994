import { Orphans } from '@octavia/db';
import { AgentCertificateExpired, FenceNotConfirmed, NotImplemented } from '@octavia/drivers';
import { rotateAmphoraCertificate, sweepOrphans } from '@octavia/flows';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findOrphans } from '../src/orphans.ts';
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

  it('takes a load balancer off a living amphora on which the database does not know it, and no other', async () => {
    const id = await world.create();
    const { vip } = await world.settled(id);
    const [amphora] = await world.serving(id);
    if (!amphora) throw new Error('Nothing serves.');
    const gone = uuidv7();
    const { id: amphoraId, lbNetworkIp, agentPort, computeId } = amphora;
    const endpoint = { amphoraId, lbNetworkIp: lbNetworkIp ?? '', agentPort };
    const { subnetId, networkId } = vip;
    const allocated = { address: '198.18.9.9', subnetId, networkId: networkId ?? '', portId: null };
    const request = {
      loadBalancerId: gone,
      amphoraId,
      computeId: computeId ?? '',
      vip: allocated,
      topology: 'SINGLE',
    } as const;
    await world.network.plugVip(request);
    await world.amphora.pushHaproxy(endpoint, gone, 'frontend of nobody');
    expect(await ended(await sweep(0))).toBe('SUCCEEDED');
    expect(await world.network.holders(gone)).toEqual([]);
    expect(await world.network.holders(id)).toEqual([amphoraId]);
    expect(await world.amphora.getHaproxyEtag(endpoint, gone)).toBeNull();
    expect(await world.amphora.getHaproxyEtag(endpoint, id)).not.toBeNull();
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

describe('a search for orphans', () => {
  const find = (graceMs = 0) => findOrphans({ ...world, orphans: new Orphans() }, world.db.reader, graceMs, {});
  const told = async () => (await find()).orphans.map(({ side, kind, amphoraId }) => [side, kind, amphoraId]);

  it('finds nothing while all is well, also while load balancers come and go', async () => {
    await world.spare();
    const ids = await Promise.all([world.create(), world.create(), world.create()]);
    for (let i = 0; i < 20; i++) expect(await told()).toEqual([]);
    for (const id of ids) await world.settled(id);
    expect(await told()).toEqual([]);
    for (const id of ids) await world.delete(id);
    for (let i = 0; i < 20; i++) expect(await told()).toEqual([]);
    await world.idle();
    expect(await told()).toEqual([]);
  });

  it('does not tell what was deleted while it looked', async () => {
    const amphoraId = uuidv7();
    const computeId = await world.compute.build({ amphoraId });
    const rows = new Orphans();
    const unknownAmphorae: Orphans['unknownAmphorae'] = async (...asked) => {
      await world.compute.delete(computeId);
      return rows.unknownAmphorae(...asked);
    };
    const orphans = Object.assign(new Orphans(), { unknownAmphorae });
    expect((await findOrphans({ ...world, orphans }, world.db.reader, 0, {})).orphans).toEqual([]);
  });

  it('changes nothing, and tells what a sweep will remove', async () => {
    const orphan = uuidv7();
    await world.compute.build({ amphoraId: orphan });
    expect((await find()).orphans).toMatchObject([
      {
        side: 'OUTSIDE',
        of: 'compute',
        kind: 'instance',
        amphoraId: orphan,
        message: expect.stringContaining('removed'),
      },
    ]);
    expect(await outside()).toEqual([orphan]);
    expect((await find(60_000)).orphans).toEqual([]);
  });

  it('finds a port of an amphora that is gone, at a load balancer that lives', async () => {
    const id = await world.create();
    const { vip } = await world.settled(id);
    const gone = uuidv7();
    const { address, subnetId } = vip;
    const held = await world.network.allocateVip({ loadBalancerId: id, subnetId, address });
    await world.network.plugVip({
      loadBalancerId: id,
      amphoraId: gone,
      computeId: 'x',
      vip: held,
      topology: 'SINGLE',
      confirmedFences: (await world.serving(id)).map((one) => one.id),
    });
    expect(await told()).toEqual([['OUTSIDE', 'port', gone]]);
    expect(await ended(await sweep(0))).toBe('SUCCEEDED');
    expect(await told()).toEqual([]);
    expect(await world.network.holders(id)).toHaveLength(1);
  });

  it('finds what is recorded and not there: left behind, vanished, or a key of an amphora that is gone', async () => {
    const id = await world.create();
    await world.settled(id);
    const [amphora] = await world.serving(id);
    if (!amphora?.computeId) throw new Error('There is no amphora.');
    const gone = uuidv7();
    await world.db.reader.query(
      `INSERT INTO external_resource (kind, name, driver, amphora_id, state) VALUES ('instance', 'amphora-x', 'noop', $1, 'DELETING')`,
      [gone],
    );
    await world.db.reader.query(
      `INSERT INTO secret (id, kind, owner_id, key_id, wrapped_key, payload) VALUES ($1, 'amphora_certificate', $1, 'k', '', '')`,
      [gone],
    );
    await world.compute.delete(amphora.computeId);
    expect((await told()).sort()).toEqual(
      [
        ['RECORDED', 'instance', gone],
        ['RECORDED', 'instance', amphora.id],
        ['RECORDED', 'secret', gone],
      ].sort(),
    );
    expect(await ended(await sweep(0))).toBe('SUCCEEDED');
    // The amphora that lives in the database is health's.
    expect(await told()).toEqual([['RECORDED', 'instance', amphora.id]]);
  });

  it('keeps how many of each kind it found, for the gauges', async () => {
    for (let i = 0; i < 2; i++) await world.compute.build({ amphoraId: uuidv7() });
    await ended(await sweep(0));
    expect(await new Orphans().counts(world.db.reader)).toEqual([{ kind: 'instance', count: 2 }]);
    await ended(await sweep(0));
    expect(await new Orphans().counts(world.db.reader)).toEqual([{ kind: 'instance', count: 0 }]);
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
    await world.db.reader.query(`UPDATE amphora SET cert_expires_at = now() + interval '1 hour' WHERE id = $1`, [
      amphora.id,
    ]);
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

describe('an agent whose certificate has run out', () => {
  const rotate = (amphoraId: string, loadBalancerId: string | null) =>
    world.db.transaction((tx) => world.flows.start(tx, rotateAmphoraCertificate(amphoraId, loadBalancerId, requester)));
  const expired = () => new AgentCertificateExpired('It showed a certificate that has run out.');
  const callsOf = (driver: 'compute' | 'amphora', wanted: string) =>
    world[driver].control.calls.filter(({ method }) => method === wanted);

  async function served() {
    const id = await world.create();
    await world.settled(id);
    const [amphora] = await world.serving(id);
    if (!amphora) throw new Error('no amphora');
    return { id, amphoraId: amphora.id };
  }
  const runsOut = (amphoraId: string) =>
    world.db.reader.query(`UPDATE amphora SET cert_expires_at = now() - interval '1 day' WHERE id = $1`, [amphoraId]);
  const isRenewed = async (amphoraId: string) =>
    ((await world.amphorae.get(world.db.reader, amphoraId)).certExpiresAt?.getTime() ?? 0) > Date.now() + 86_400_000;

  it('enrols through the compute service, and no key is sent to it before', async () => {
    const { id, amphoraId } = await served();
    await runsOut(amphoraId);
    expect(await ended(await rotate(amphoraId, id))).toBe('SUCCEEDED');
    expect(callsOf('compute', 'replaceFiles')).toMatchObject([
      {
        args: [
          expect.stringContaining(amphoraId),
          ['/etc/octavia/certs/server.pem', '/etc/octavia/certs/client_ca.pem'],
        ],
      },
    ]);
    expect(callsOf('amphora', 'rotateAgentCertificate')).toEqual([]);
    expect(await isRenewed(amphoraId)).toBe(true);
    expect((await world.serving(id)).map((amphora) => amphora.id)).toEqual([amphoraId]);
    const events = await world.db.reader.query(`SELECT object_id FROM event WHERE kind = 'amphora_enrolled'`);
    expect(events).toEqual([{ object_id: amphoraId }]);
  });

  it('enrols also when only the agent knows that it has', async () => {
    const spare = await world.spare();
    world.amphora.control.failNext('rotateAgentCertificate', expired());
    expect(await ended(await rotate(spare, null))).toBe('SUCCEEDED');
    expect(callsOf('compute', 'replaceFiles')).toHaveLength(1);
    expect((await world.amphorae.get(world.db.reader, spare)).status).toBe('READY');
  });

  it('enrols in the middle of the push that met it, which goes on', async () => {
    const { id, amphoraId } = await served();
    await runsOut(amphoraId);
    world.amphora.control.failNext('getHaproxyEtag', expired());
    world.amphora.control.failNext('pushHaproxy', expired());
    const listener = await world.addListener(id, 80);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
    expect((await world.serving(id)).map((amphora) => amphora.id)).toEqual([amphoraId]);
    expect(await isRenewed(amphoraId)).toBe(true);
    const flows = await world.db.reader.query('SELECT name, attempt FROM flow ORDER BY created_at');
    expect(flows).toMatchObject([{ name: 'load_balancer.create' }, { name: 'load_balancer.update' }]);
  });

  it('enrols when a failover asks whether the spare answers, and the spare is taken', async () => {
    const { id, amphoraId } = await served();
    const spare = await world.spare();
    await runsOut(spare);
    world.amphora.control.failNext('getFacts', expired());
    const [amphora] = await world.serving(id);
    if (amphora) await world.fallSilent(amphora);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    const serving = (await world.serving(id)).filter(({ status }) => status === 'ALLOCATED');
    expect(serving.map((one) => one.id)).toEqual([spare]);
    expect(spare).not.toBe(amphoraId);
    expect(await isRenewed(spare)).toBe(true);
  });

  it('is replaced where the compute service cannot give it files', async () => {
    const { id, amphoraId } = await served();
    await runsOut(amphoraId);
    world.compute.control.failNext('replaceFiles', new NotImplemented('noop', 'new files'));
    expect(await ended(await rotate(amphoraId, id))).toBe('CANCELLED');
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect((await world.serving(id)).map((amphora) => amphora.id)).not.toContain(amphoraId);
    const [row] = await world.db.reader.query('SELECT fault_reason FROM amphora WHERE id = $1', [amphoraId]);
    expect(row).toEqual({ fault_reason: 'CERTIFICATE_EXPIRED' });
  });

  it('is replaced when a push meets it there, too, and the push is served by its successor', async () => {
    const { id, amphoraId } = await served();
    world.compute.control.failNext('replaceFiles', new NotImplemented('noop', 'new files'));
    world.amphora.control.failNext('getHaproxyEtag', expired());
    const listener = await world.addListener(id, 80);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
    expect((await world.serving(id)).map((amphora) => amphora.id)).not.toContain(amphoraId);
  });

  it('is replaced when it does not take up its new certificate in time', async () => {
    const spare = await world.spare();
    await runsOut(spare);
    await world.amphora.silence(spare);
    const flow = await world.db.transaction((tx) =>
      world.flows.start(tx, rotateAmphoraCertificate(spare, null, requester, { deadlineMs: 3_000 })),
    );
    expect(await ended(flow)).toBe('CANCELLED');
    await world.until('it is gone', async () => {
      const { status } = await world.amphorae.get(world.db.reader, spare);
      return status === 'DELETED';
    });
  });
});
