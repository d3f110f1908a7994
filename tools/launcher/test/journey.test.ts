import { afterAll, describe, expect, it } from 'vitest';
import { Journey, plainUser } from './journey.ts';

/** What the issue of a newcomer is: from nothing to traffic, and to traffic again after the amphora was killed. */
const users = process.getuid?.() === 0 ? [null, plainUser()] : [null];

describe.each(users.map((user) => ({ user, name: user ? 'a plain user' : `uid ${process.getuid?.()}` })))(
  'a newcomer who is $name',
  ({ user }) => {
    const journey = new Journey(user);
    afterAll(() => journey.end());

    it('starts everything with one command', async () => {
      const { code, stdout, stderr } = await journey.npm('start', '--', '--detach');
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatch(/api-gateway: SERVING/);
      expect(stdout).toMatch(/npx octaviactl status/);
      expect((await journey.ctl('status', '--wait', '--timeout', '60s')).code).toBe(0);
    });

    it('makes a load balancer with two members behind it', async () => {
      const [one, two] = [await journey.web('one'), await journey.web('two')];
      const steps = [
        ['loadbalancer', 'create', '--name', 'web', '--wait'],
        [
          'loadbalancer',
          'listener',
          'create',
          '--name',
          'http',
          '--protocol',
          'HTTP',
          '--protocol-port',
          '8080',
          '--wait',
          'web',
        ],
        [
          'loadbalancer',
          'pool',
          'create',
          '--lb-algorithm',
          'ROUND_ROBIN',
          '--listener',
          'http',
          '--protocol',
          'HTTP',
          '--name',
          'p',
          '--wait',
        ],
        ['loadbalancer', 'member', 'create', '--address', '127.0.0.1', '--protocol-port', String(one), '--wait', 'p'],
        ['loadbalancer', 'member', 'create', '--address', '127.0.0.1', '--protocol-port', String(two), '--wait', 'p'],
        [
          'loadbalancer',
          'healthmonitor',
          'create',
          '--type',
          'HTTP',
          '--delay',
          '2',
          '--timeout',
          '1',
          '--max-retries',
          '2',
          '--wait',
          'p',
        ],
      ];
      for (const step of steps) {
        const { code, stderr } = await journey.ctl(...step);
        expect({ step, code, stderr: code === 0 ? '' : stderr }).toEqual({ step, code: 0, stderr: '' });
      }
      const lb = await journey.json('loadbalancer', 'show', 'web');
      expect(lb).toMatchObject({ name: 'web', provisioning_status: 'ACTIVE' });
    });

    it('is answered by the members in turn', async () => {
      // A HAProxy that was just replaced still answers on connections that it had accepted.
      await journey.until('both members answer in turn', async () => {
        const four = [await journey.get(), await journey.get(), await journey.get(), await journey.get()];
        return ['one', 'two'].every((name) => four.filter((answer) => answer === name).length === 2);
      });
    });

    it('sees the operating statuses of the whole tree', async () => {
      await journey.until('everything is ONLINE', async () => {
        const tree = JSON.stringify(await journey.json('loadbalancer', 'status', 'show', 'web'));
        return (tree.match(/ONLINE/g) ?? []).length >= 5;
      });
    });

    it('gets traffic back on a spare after kill -9 of the amphora', async () => {
      const before = await journey.amphora();
      await journey.until('a spare is ready', async () => (await journey.amphorae('READY')).length > 0);
      await journey.killAmphora(before);
      await expect(journey.get()).rejects.toThrow();
      await journey.until('traffic is back', async () => (await journey.get().catch(() => '')) !== '');
      await journey.until('a successor serves', async () => (await journey.amphora().catch(() => before)) !== before);
      const lb = await journey.json('loadbalancer', 'show', 'web');
      expect(lb).toMatchObject({ provisioning_status: 'ACTIVE' });
      expect(await journey.processesOf(before)).toEqual([]);
    });

    it('finds no private key and no password in a full dump of the database', async () => {
      const dump = await journey.dump();
      expect(dump.length).toBeGreaterThan(10_000);
      expect(dump).not.toMatch(/PRIVATE KEY/);
      for (const secret of journey.secrets()) expect(dump).not.toContain(secret);
    });

    it('deletes it all again', async () => {
      expect((await journey.ctl('loadbalancer', 'delete', '--cascade', '--wait', 'web')).code).toBe(0);
      expect(await journey.json('loadbalancer', 'list')).toEqual([]);
      await expect(journey.get()).rejects.toThrow();
    });

    it('stops everything with one command, and no process is left', async () => {
      expect((await journey.npm('stop')).code).toBe(0);
      expect(await journey.processesOf(journey.home)).toEqual([]);
    });
  },
  300_000,
);
