import { type Migration, migrate, migrations } from '@octavia/db';
import { afterEach, describe, expect, it } from 'vitest';
import { TestWorld } from './world.ts';

let world: TestWorld;
afterEach(() => world.close());

/** What a next release may add: columns with defaults, a table, an index, a check that old rows and writers meet. */
class Wider2000000000001 {
  static readonly needs = migrations.at(-1)?.name ?? '';
  name = 'Wider2000000000001';
  up = async (db: { query(sql: string): Promise<unknown> }) => {
    for (const table of ['load_balancer', 'listener', 'amphora', 'flow', 'flow_step', 'event', 'revision', 'quota']) {
      await db.query(`ALTER TABLE ${table} ADD COLUMN of_the_next_release text NOT NULL DEFAULT 'unset'`);
    }
    await db.query(`CREATE TABLE of_the_next_release (id uuid PRIMARY KEY);
      CREATE INDEX flow_next ON flow (of_the_next_release);
      ALTER TABLE amphora ADD CHECK (of_the_next_release <> '')`);
  };
  down = async () => {};
}

describe('a worker of this release on the schema of the next one', () => {
  it('creates, changes, fails over and deletes load balancers as on its own', async () => {
    const next: readonly Migration[] = [...migrations, Wider2000000000001 as never];
    world = await TestWorld.open({ prepare: (url) => migrate(url, next) });
    await world.work();
    const id = await world.create();
    const listener = await world.addListener(id, 80);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    const [old] = await world.serving(id);
    if (!old) throw new Error('There is no amphora.');
    await world.fallSilent(old);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect((await world.serving(id)).map((one) => one.id)).not.toContain(old.id);
    await world.removeListener(listener);
    await world.settled(id);
    await world.delete(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'DELETED' });
    expect(await world.leftovers()).toMatchObject({ amphorae: 0, resources: 0, secrets: 0, turns: 0, instances: 0 });
  });

  it('goes on while the schema is migrated below it', async () => {
    world = await TestWorld.open();
    await world.work();
    const { url } = world.test;
    const ids = [await world.create(), await world.create()];
    await migrate(url, [...migrations, Wider2000000000001 as never]);
    ids.push(await world.create());
    for (const id of ids) expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
  });
});
