import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { createWorld, type World } from './world/world.ts';

const open: World[] = [];
afterEach(async () => {
  for (const created of open.splice(0)) await created.close();
});

const POOL = '20000000-0000-4000-8000-000000000001';

/** Cookies that members may think of; `?` is their name, so that each is another. One would be a command of its own to HAProxy. */
const VALUES = ['a=b=?', '"e;@master;?"', 'c+/%20.?'];

/** A member that answers with its name, and gives each new client a cookie of its own. */
async function startMember(name: string): Promise<{ id: string; port: number; rest: string }> {
  let cookies = 0;
  const server: Server = createServer((asked, response) => {
    if (!asked.headers.cookie)
      response.setHeader('Set-Cookie', `JS=${VALUES[cookies++ % VALUES.length]?.replace('?', name)}`);
    response.end(name);
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { id: name, port: (server.address() as AddressInfo).port, rest: '' };
}

interface Client {
  readonly localAddress?: string;
  readonly cookie?: string;
}

function ask(w: World, { localAddress, cookie }: Client): Promise<{ member: string; cookie: string | undefined }> {
  return new Promise((resolve, reject) => {
    const headers = { Connection: 'close', ...(cookie === undefined ? {} : { Cookie: cookie }) };
    const call = request({ host: w.vip, port: 8080, agent: false, headers, localAddress }, (response) => {
      let member = '';
      response.setEncoding('utf8').on('data', (text) => {
        member += text;
      });
      response.on('end', () => resolve({ member, cookie: response.headers['set-cookie']?.[0] }));
    });
    call.on('error', reject);
    call.end();
  });
}

async function membersOf(w: World, clients: readonly Client[]): Promise<string[]> {
  const found: string[] = [];
  for (const client of clients) found.push((await ask(w, client)).member);
  return found;
}

describe('an amphora without peers', () => {
  it.each([
    ['their addresses', ['stick-table type ipv6 size 10k', 'stick on src']],
    [
      'cookies of the members',
      ['stick-table type string len 64 size 10k', 'stick store-response res.cook(JS)', 'stick match req.cook(JS)'],
    ],
  ])('keeps the members of clients by %s through reloads, also when members come and go', async (by, lines) => {
    const w = await createWorld();
    open.push(w);
    await w.start();
    const members = [await startMember('a'), await startMember('b'), await startMember('c')];
    const more = lines.map((line) => `    ${line}\n`).join('');
    const serve = async (served: typeof members) => {
      expect(await w.upload(w.text({ pool: POOL, members: served, more }))).toMatchObject({ status: 202 });
      expect(await w.act('reload')).toMatchObject({ status: 202 });
    };
    await serve(members);
    const clients: Client[] = [];
    for (let number = 0; number < 9; number++) {
      if (by === 'their addresses') clients.push({ localAddress: `127.9.9.${number + 1}` });
      else clients.push({ cookie: (await ask(w, {})).cookie ?? 'none' });
    }
    const kept = clients.filter(({ cookie }) => !cookie?.includes('"'));
    const before = await membersOf(w, kept);
    expect(new Set(before)).toEqual(new Set(['a', 'b', 'c']));
    for (let reload = 0; reload < 2; reload++) await serve(members);
    expect(await membersOf(w, kept)).toEqual(before);
    const [, ...others] = members;
    await serve([...others].reverse());
    const after = await membersOf(w, kept);
    for (const [index, member] of before.entries()) if (member !== 'a') expect(after[index]).toBe(member);
    expect(after).not.toContain('a');
  });
});
