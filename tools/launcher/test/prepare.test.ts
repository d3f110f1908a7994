import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestDatabase, testDatabase } from '@octavia/db/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prepare } from '../src/prepare.ts';

let test: TestDatabase;
let folder: string;
const said: string[] = [];
beforeEach(async () => {
  test = await testDatabase();
  folder = mkdtempSync(join(tmpdir(), 'octavia-prepare-'));
  writeFileSync(join(folder, 'url'), test.url, { mode: 0o600 });
});
afterEach(async () => {
  rmSync(folder, { recursive: true, force: true });
  await test.drop();
});
const env = () => ({ OCTAVIA_HOME: join(folder, 'home'), DATABASE_URL_FILE: join(folder, 'url') });
const read = (name: string) => readFileSync(join(folder, 'home', name), 'utf8');
const FILES = [
  'pki/worker.pem',
  'pki/worker.key',
  'pki/amphorae-ca.key',
  'secrets/heartbeat.key',
  'secrets/secrets.keys',
];

describe('preparing for services that somebody else starts', () => {
  it('makes certificates, keys and the id, readable by their owner only, and changes nothing the next time', async () => {
    await prepare(env(), (line) => said.push(line));
    const before = FILES.map(read);
    expect(read('installation.env')).toMatch(/^INSTALLATION_ID=[0-9a-f-]{36}\n$/);
    for (const file of FILES.filter((name) => !name.endsWith('.pem')))
      expect(statSync(join(folder, 'home', file)).mode & 0o077).toBe(0);
    await prepare(env(), (line) => said.push(line));
    expect(FILES.map(read)).toEqual(before);
    expect(said.at(-1)).toContain('prepared');
  });

  it('refuses the database of another installation, and says so', async () => {
    await prepare(env(), () => {});
    const other = { ...env(), OCTAVIA_HOME: join(folder, 'other') };
    await expect(prepare(other, () => {})).rejects.toThrow(/belongs to installation/);
  });

  it('says what is missing when no database is named', async () => {
    await expect(prepare({ OCTAVIA_HOME: folder }, () => {})).rejects.toThrow('DATABASE_URL_FILE');
  });
});
