import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FenceBook } from './fence.ts';
import { replaceFile } from './files.ts';
import { explodeAddress } from './plugged/address.ts';
import { isAlive, readProcess } from './processes.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fence-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the book of fences', () => {
  it('admits equal and higher epochs of a flow, and refuses lower ones', () => {
    const book = new FenceBook(join(folder, 'f'));
    for (const header of ['a:1', 'a:1', 'a:5', 'b:1']) book.admit(header);
    expect(() => book.admit('a:4')).toThrow('Stale fence');
  });

  it('remembers the last hundred flows, also in a new process', () => {
    const book = new FenceBook(join(folder, 'f'));
    for (let flow = 0; flow < 101; flow++) book.admit(`flow-${flow}:7`);
    const again = new FenceBook(join(folder, 'f'));
    expect(() => again.admit('flow-100:6')).toThrow('Stale fence');
    expect(() => again.admit('flow-1:6')).toThrow('Stale fence');
    again.admit('flow-0:6');
  });

  it('admits nothing that it cannot write down', () => {
    mkdirSync(join(folder, 'f.tmp'));
    const book = new FenceBook(join(folder, 'f'));
    expect(() => book.admit('a:5')).toThrow();
    rmSync(join(folder, 'f.tmp'), { recursive: true, force: true });
    book.admit('a:4');
  });

  it.each(['', 'a', 'a:', ':1', 'a:-1', 'a:1:2', `${'x'.repeat(65)}:1`])('refuses the header %j', (header) => {
    expect(() => new FenceBook(join(folder, 'f')).admit(header)).toThrow('Invalid request');
  });
});

describe('replacing a file', () => {
  it('leaves nothing half-written behind when it fails', () => {
    mkdirSync(join(folder, 'target'));
    expect(() => replaceFile(join(folder, 'target'), 'x')).toThrow();
    expect(readdirSync(folder)).toEqual(['target']);
    expect(existsSync(join(folder, 'target.tmp'))).toBe(false);
  });
});

describe('an address', () => {
  it.each([
    ['2001:db8::5', '2001:0db8:0000:0000:0000:0000:0000:0005'],
    ['::', '0000:0000:0000:0000:0000:0000:0000:0000'],
    ['::ffff:10.0.0.1', '0000:0000:0000:0000:0000:ffff:0a00:0001'],
    ['1:2:3:4:5:6:7:8', '0001:0002:0003:0004:0005:0006:0007:0008'],
    ['127.0.0.1', '127.0.0.1'],
  ])('%s is written out as %s', (address, exploded) => {
    expect(explodeAddress(address)).toBe(exploded);
  });
});

describe('a process', () => {
  it('is known by its pid and start time together', () => {
    const self = readProcess(process.pid);
    if (!self) throw new Error('this process is not in /proc');
    expect(isAlive(self)).toBe(true);
    expect(isAlive({ pid: self.pid, startTime: self.startTime + 1 })).toBe(false);
  });
});
