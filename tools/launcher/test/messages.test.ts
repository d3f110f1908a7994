import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { Life } from './life.ts';

const isRoot = process.getuid?.() === 0;

/** Each of these is told to a person, costs nothing, and is over when he did what it says. */
describe('a start that cannot be', { timeout: 120_000 }, () => {
  const life = new Life();
  afterAll(async () => {
    await life.launcher(['stop']);
    await life.end();
  }, 60_000);

  /** The failed start: its words, and that nothing of it runs on. */
  async function refused(env: NodeJS.ProcessEnv = {}): Promise<string> {
    const { code, text } = await life.launcher(['start'], { env });
    expect({ code, text }).toMatchObject({ code: 1 });
    expect(await life.processesOf(life.home)).toEqual([]);
    return text;
  }

  it('may be killed while PostgreSQL makes its files, and the next goes on', async () => {
    const folder = join(life.home, 'postgres');
    const isHalf = () =>
      existsSync(folder) &&
      readdirSync(folder).some((name) => name.includes('.part-') && existsSync(join(folder, name, 'PG_VERSION')));
    const { code } = await life.launcher(['start'], { killWhen: isHalf });
    expect({ code, isHalf: isHalf() }).toEqual({ code: null, isHalf: true });
  });

  it.each([
    ['while its folder is made', /data folder/],
    ['right after the database was migrated', /database: /],
    ['while the services start', /SERVING/],
  ])('may be killed %s, and the next goes on', async (_, killAt) => {
    const { code } = await life.launcher(['start'], { killAt });
    expect(code).toBeNull();
  });

  it('is whole after all those', async () => {
    expect(await life.start()).toContain('ready');
    await life.must('status', '--wait');
    expect(readdirSync(join(life.home, 'postgres')).filter((name) => name.includes('.part-'))).toEqual([]);
  });

  it('is refused beside a running one, which goes on', async () => {
    const { code, text } = await life.launcher(['start', '--detach']);
    expect(code).toBe(1);
    expect(text).toMatch(
      /already runs on .* \(pid \d+\)\. Stop it with npm stop, or name another folder with OCTAVIA_HOME/,
    );
    await life.must('status');
  });

  it('is refused when a newer release took something away from the database', async () => {
    const url = readFileSync(join(life.home, 'secrets/database-url'), 'utf8').trim();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(`INSERT INTO migration (timestamp, name) VALUES (1, 'FromTheFuture1')`);
    await client.query(`UPDATE schema_floor SET migration = 'FromTheFuture1'`);
    await client.end();
    expect((await life.launcher(['stop'])).code).toBe(0);
    expect(await refused()).toMatch(
      /newer release \(FromTheFuture1\)\. Nothing was changed\. Start that release, or restore a backup/,
    );
  });

  it('is refused when a port is in use, and says which', async () => {
    const { ports } = life.installation;
    const server = await listen(ports.health);
    const socket = createSocket('udp4');
    await new Promise<void>((done) => socket.bind(ports.heartbeats, '127.0.0.1', done));
    const text = await refused();
    await Promise.all([new Promise((done) => server.close(done)), new Promise<void>((done) => socket.close(done))]);
    expect(text).toMatch(
      new RegExp(`TCP port ${ports.health} \\(health\\), UDP port ${ports.heartbeats} \\(heartbeats\\)`),
    );
    expect(text).toMatch(/Stop what uses it \(ss -lntup shows it\), or write another port into .*installation\.json/);
  });

  it("is refused when PostgreSQL's port is in use", async () => {
    const server = await listen(life.installation.ports.postgres);
    const text = await refused();
    await new Promise((done) => server.close(done));
    expect(text).toMatch(/on which PostgreSQL shall listen, is in use\. Stop what uses it/);
  });

  it('is refused when the folder holds data of another PostgreSQL', async () => {
    const file = join(life.home, 'postgres/data/PG_VERSION');
    const version = readFileSync(file, 'utf8');
    writeFileSync(file, '13\n');
    const text = await refused();
    writeFileSync(file, version);
    expect(text).toMatch(/holds data of PostgreSQL 13; this is PostgreSQL 18\. Nothing was changed\./);
  });

  it('is refused when installation.json is damaged', async () => {
    const file = join(life.home, 'installation.json');
    const content = readFileSync(file, 'utf8');
    writeFileSync(file, '{');
    const text = await refused();
    writeFileSync(file, content);
    expect(text).toMatch(/installation\.json is damaged .* Put it back from a backup/);
  });

  it('is refused when the folder cannot be made', async () => {
    const file = join(life.home, 'a-file');
    writeFileSync(file, '');
    const text = await refused({ OCTAVIA_HOME: join(file, 'below') });
    expect(text).toMatch(/The data folder .* is of no use: .*name another folder with OCTAVIA_HOME/);
  });

  it('does not hide that the database was another one: a restore is refused', async () => {
    const file = join(life.home, 'secrets/database-url');
    writeFileSync(file, 'postgresql://u:a-password@db.example:5432/octavia\n');
    const { code, text } = await life.launcher(['restore', join(life.home, 'any')]);
    expect(code).toBe(1);
    expect(text).toMatch(/database at db\.example:5432\. Set DATABASE_URL_FILE/);
    expect(text).not.toContain('a-password');
  });

  it('gives one of two that start at the same instant the folder', async () => {
    const other = new Life();
    try {
      // The one that gets it goes on until it is stopped, however late the other comes.
      const starts = [0, 1].map(() => other.launcher(['start']));
      const late = await Promise.race(starts);
      expect(late).toMatchObject({ code: 1, text: expect.stringMatching(/already runs on/) });
      await other.launcher(['stop']);
      expect((await Promise.all(starts)).map(({ code }) => code).sort()).toEqual([0, 1]);
    } finally {
      await other.launcher(['stop']);
      await other.end();
    }
  });

  // Only root may mount a small disk.
  describe.runIf(isRoot)('on a disk', () => {
    const disk = mkdtempSync(join(tmpdir(), 'octavia-disk-'));
    const home = join(disk, 'home');
    const mount = (...options: string[]) => execFileSync('mount', [...options, 'tmpfs', disk]);
    afterAll(() => rmSync(disk, { recursive: true }));

    it.each([
      ['that is too small for a new one', '20m', 0],
      ['that got full', '200m', 199],
    ])('%s is refused before anything is done', async (_, size, filledMib) => {
      mount('-t', 'tmpfs', '-o', `size=${size}`);
      try {
        mkdirSync(home);
        if (filledMib > 0) writeFileSync(join(disk, 'filler'), Buffer.alloc(filledMib * 1024 * 1024));
        const text = await refused({ OCTAVIA_HOME: home });
        expect(text).toMatch(/is full: \d+ MiB are free, 120 are needed to start\. Free some space/);
        expect(readdirSync(home)).not.toContain('installation.json');
      } finally {
        execFileSync('umount', [disk]);
      }
    });

    it('that is read-only is refused', async () => {
      mount('-t', 'tmpfs', '-o', 'ro');
      try {
        expect(await refused({ OCTAVIA_HOME: home })).toMatch(/is of no use: it cannot be written \(EROFS/);
      } finally {
        execFileSync('umount', [disk]);
      }
    });
  });
});

async function listen(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(port, '127.0.0.1', done);
  });
  return server;
}
