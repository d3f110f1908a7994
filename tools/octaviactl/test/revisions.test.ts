import { type ObjectChange, ProvisioningStatus, Revision } from '@octavia/proto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { activeLoadBalancer, World } from './world.ts';

let world: World;
let lb: ReturnType<typeof activeLoadBalancer>;

beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());
beforeEach(() => {
  world.calls.length = 0;
  world.objects.clear();
  world.overrides.clear();
  lb = world.put(activeLoadBalancer());
});

const CHANGES: ObjectChange[] = [
  {
    objectKind: 'listener',
    objectId: 'listener-1',
    kind: 'CHANGE_KIND_UPDATED',
    fields: [{ field: 'connection_limit', oldValue: 100, newValue: 5 }],
  },
  {
    objectKind: 'pool',
    objectId: 'pool-1',
    kind: 'CHANGE_KIND_CREATED',
    fields: [
      { field: 'name', oldValue: null, newValue: 'green' },
      { field: 'tags', oldValue: null, newValue: ['a'] },
    ],
  },
];
const revision = (number: number) =>
  Revision.fromPartial({
    loadBalancerId: lb.id,
    number,
    createdAt: new Date('2026-11-20T10:00:00Z'),
    author: 'alice',
    action: 'UPDATE',
    objectKind: 'listener',
    objectId: 'listener-1',
    changes: CHANGES,
  });

describe('loadbalancer revision', () => {
  it('lists changes newest first, over pages, and says when there are more', async () => {
    world.overrides.set('listRevisions', ({ before, pageSize }) => {
      const newest = before === 0 ? 5 : before - 1;
      const count = Math.min(pageSize, 2);
      const revisions = Array.from({ length: count }, (_, i) => revision(newest - i));
      return { revisions, nextBefore: newest - count + 1 };
    });
    const { out, err } = await world.run(['loadbalancer', 'revision', 'list', lb.id, '--limit', '3']);
    expect(out.split('\n')[1]).toMatch(/number.*created_at.*author.*action.*object_kind.*object_id.*fields/);
    expect(out).toMatch(/5 .*2026-11-20T10:00:00.*alice.*UPDATE.*listener.*connection_limit/);
    expect(err).toContain('Only the newest 3 are shown');
    const listed = await world.json(`loadbalancer revision list ${lb.id} --limit 3 --object listener-1 -c number`);
    expect(listed).toEqual([{ number: 5 }, { number: 4 }, { number: 3 }]);
    expect(world.request('listRevisions')).toMatchObject({ loadBalancerId: lb.id, objectId: 'listener-1' });
  });

  it('shows what one change did, and says when there is none of that number', async () => {
    world.overrides.set('listRevisions', () => ({ revisions: [revision(4)], nextBefore: 4 }));
    const { out } = await world.run(`loadbalancer revision show ${lb.id} 4`);
    expect(world.request('listRevisions')).toMatchObject({ before: 5, pageSize: 1 });
    expect(out).toMatch(/listener.*listener-1.*UPDATED.*connection_limit.*100.*5/);
    expect(out).toMatch(/pool.*pool-1.*CREATED.*name "green"/);
    expect((await world.json(`loadbalancer revision show ${lb.id} 4`)).changes).toHaveLength(2);
    const none = await world.run(`loadbalancer revision show ${lb.id} 9`);
    expect(none.code).not.toBe(0);
    expect(none.err).toContain('no revision 9');
  });

  it('compares two, or one with the newest', async () => {
    world.overrides.set('compareRevisions', () => ({ changes: CHANGES, to: 7 }));
    expect(await world.json(`loadbalancer revision compare ${lb.id} 3`)).toEqual([
      {
        object_kind: 'listener',
        object_id: 'listener-1',
        change: 'UPDATED',
        field: 'connection_limit',
        old: 100,
        new: 5,
      },
      {
        object_kind: 'pool',
        object_id: 'pool-1',
        change: 'CREATED',
        field: null,
        old: null,
        new: { name: 'green', tags: ['a'] },
      },
    ]);
    expect(world.request('compareRevisions')).toMatchObject({ from: 3, to: 0 });
    await world.json(`loadbalancer revision compare ${lb.id} 3 5`);
    expect(world.request('compareRevisions')).toMatchObject({ from: 3, to: 5 });
  });
});

describe('loadbalancer rollback', () => {
  it('shows what it would change and changes nothing with --dry-run', async () => {
    world.overrides.set('rollbackLoadBalancer', () => ({ loadBalancer: lb, changes: CHANGES }));
    const shown = await world.json(`loadbalancer rollback ${lb.id} --to 3 --dry-run`);
    expect(shown).toHaveLength(2);
    expect(world.request('rollbackLoadBalancer')).toMatchObject({
      id: lb.id,
      revision: 3,
      validateOnly: true,
      etag: lb.etag,
    });
  });

  it('goes back, waits until that is in place, and shows what it changed', async () => {
    world.overrides.set('rollbackLoadBalancer', () => {
      world.change(lb.id, { provisioningStatus: ProvisioningStatus.PENDING_UPDATE });
      setTimeout(() => world.change(lb.id, { provisioningStatus: ProvisioningStatus.ACTIVE }), 300);
      return { loadBalancer: world.objects.get(lb.id), changes: CHANGES };
    });
    const { code, out, err } = await world.run(`loadbalancer rollback ${lb.id} --to 3 --wait`);
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(out).toMatch(/pool.*pool-1.*CREATED/);
    expect(world.request('rollbackLoadBalancer')).toMatchObject({ revision: 3, validateOnly: false });
    const { requestId } = world.request('rollbackLoadBalancer');
    expect(requestId).toMatch(/^[0-9a-f]{8}-/);
  });

  it('wants to know where to', async () => {
    const { code, err } = await world.run(`loadbalancer rollback ${lb.id}`);
    expect(code).not.toBe(0);
    expect(err).toContain('--to');
  });
});
