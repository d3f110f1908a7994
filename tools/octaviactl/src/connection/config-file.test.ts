import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CliError } from '../errors.ts';
import { findConnectionFile, readPrivate } from './config-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'octaviactl-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function faultOf(run: () => unknown): CliError {
  try {
    run();
  } catch (error) {
    if (error instanceof CliError) return error;
    throw error;
  }
  throw new Error('It did not fail.');
}

describe('the connection file', () => {
  const surroundings = { env: {}, cwd: '/', clone: folder };

  it('is taken from the clone when nothing nearer has one', () => {
    mkdirSync(join(folder, '.octavia'));
    const path = join(folder, '.octavia/octaviactl.json');
    const values = {
      address: 'a:1',
      ca_file: 'ca.pem',
      cert_file: '/c.pem',
      key_file: 'k.pem',
      project_id: 'p',
      user_id: 'u',
    };
    writeFileSync(path, JSON.stringify({ ...values, roles: ['r'] }));
    expect(findConnectionFile(undefined, surroundings)).toEqual({
      path,
      address: 'a:1',
      caFile: join(folder, '.octavia/ca.pem'),
      certFile: '/c.pem',
      keyFile: join(folder, '.octavia/k.pem'),
      projectId: 'p',
      userId: 'u',
      roles: ['r'],
    });
  });

  it('names all that is wrong with it', () => {
    writeFileSync(join(folder, 'bad.json'), '{"address": ""}');
    const fault = faultOf(() => findConnectionFile(join(folder, 'bad.json'), surroundings));
    expect([fault.exitCode, fault.reason]).toEqual([4, 'CONNECTION_FILE_BAD']);
    expect(fault.message).toContain('address is missing, ca_file is missing');
    writeFileSync(join(folder, 'worse.json'), 'hello');
    expect(faultOf(() => findConnectionFile(join(folder, 'worse.json'), surroundings)).message).toContain('not JSON');
  });

  it('that cannot be read says so, instead of looking further', () => {
    // A folder where the file should be fails for everybody, root too, as a forbidden file does for others.
    const fault = faultOf(() => readPrivate(folder));
    expect([fault.exitCode, fault.reason]).toEqual([4, 'CONNECTION_FILE_UNREADABLE']);
    expect(fault.message).toContain(`cannot read ${folder} (EISDIR)`);
  });
});
