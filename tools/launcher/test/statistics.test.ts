import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askHaproxy, NO_TRAFFIC, sum, type Traffic, workerOf } from './haproxy-statistics.ts';
import { Journey } from './journey.ts';

/** The numbers that an operator reads are HAProxy's own: to the byte, over reloads and over the loss of an amphora. */
describe('the statistics of a load balancer', { timeout: 120_000 }, () => {
  const journey = new Journey(null);
  /** What HAProxy counted before it was reloaded or replaced. */
  let before = NO_TRAFFIC;

  beforeAll(async () => {
    expect((await journey.npm('start', '--', '--detach')).code).toBe(0);
    const port = String(await journey.web('one'));
    for (const line of [
      'loadbalancer create --name web --wait',
      'loadbalancer listener create --name http --protocol HTTP --protocol-port 8080 --wait web',
      'loadbalancer pool create --name p --lb-algorithm ROUND_ROBIN --listener http --protocol HTTP --wait',
      `loadbalancer member create --address 127.0.0.1 --protocol-port ${port} --wait p`,
    ]) {
      const { code, stderr } = await journey.ctl(...line.split(' '));
      expect({ line, code, stderr: code === 0 ? '' : stderr }).toEqual({ line, code: 0, stderr: '' });
    }
  }, 120_000);
  afterAll(() => journey.end(), 60_000);

  const told = async (...command: string[]): Promise<Traffic & { active_connections: number }> =>
    journey.json('loadbalancer', ...command);
  const haproxy = async (): Promise<Traffic> => sum(before, await askHaproxy(journey.home, await journey.amphora()));

  /** Waits for the next heartbeat to have arrived, then compares every number. */
  async function expectExact(): Promise<Traffic> {
    const expected = await haproxy();
    // A heartbeat may tell of a connection that has been answered and is not closed yet.
    await journey.until('the counters have arrived', async () => {
      const { total_connections, bytes_out, active_connections } = await told('stats', 'show', 'web');
      return (
        total_connections >= expected.total_connections && bytes_out >= expected.bytes_out && active_connections === 0
      );
    });
    expect(await told('stats', 'show', 'web')).toEqual({ ...expected, active_connections: 0 });
    expect(await told('listener', 'stats', 'show', 'http')).toEqual({ ...expected, active_connections: 0 });
    return expected;
  }

  it('are what HAProxy says on its own socket, bad requests too', async () => {
    for (let request = 0; request < 20; request += 1) expect(await journey.get()).toBe('one');
    await sendNonsense((await journey.json('loadbalancer', 'show', 'web')).vip_address);
    const exact = await expectExact();
    expect(exact).toMatchObject({ total_connections: 21, request_errors: 1 });
    const [ofAmphora] = await journey.json('loadbalancer', 'amphora', 'stats', 'show', await journey.amphora());
    expect(ofAmphora).toMatchObject(exact);
  });

  it('go on over a reload, after which HAProxy itself begins at 0', async () => {
    before = await haproxy();
    const amphora = await journey.amphora();
    const old = workerOf(journey.home, amphora);
    await journey.ctl('loadbalancer', 'listener', 'set', '--connection-limit', '500', '--wait', 'http');
    await journey.until('HAProxy is reloaded', async () => workerOf(journey.home, amphora) !== old);
    for (let request = 0; request < 5; request += 1) await journey.get();
    expect((await askHaproxy(journey.home, amphora)).total_connections).toBe(5);
    expect((await expectExact()).total_connections).toBe(26);
  });

  it('keep what an amphora counted that an operator has replaced', async () => {
    before = await haproxy();
    const old = await journey.amphora();
    const { code, stderr } = await journey.ctl('loadbalancer', 'amphora', 'failover', '--wait', old);
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('SUCCEEDED') });
    for (let request = 0; request < 3; request += 1) await journey.get();
    expect((await expectExact()).total_connections).toBe(29);
    const said: { message: string }[] = await journey.json('events', 'web');
    expect(said.map(({ message }) => message)).toContain(`operator asked for the replacement of amphora ${old}.`);
    expect(await journey.json('status')).toMatchObject({ ready: true, mode: 'loopback', last_failures: [] });
  });
});

/** Something that is no HTTP, to the end of HAProxy's answer. */
function sendNonsense(host: string): Promise<void> {
  return new Promise((done, fail) => {
    const socket = connect(8080, host, () => socket.write('nonsense\r\n\r\n'));
    socket.resume();
    socket.on('end', () => socket.end());
    socket.on('close', () => done());
    socket.on('error', fail);
  });
}
