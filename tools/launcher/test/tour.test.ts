import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isFree } from '../src/installation.ts';
import { CLONE, Journey, plainUser } from './journey.ts';

/** The README is followed to the letter: what it says to type is typed, and what it says to be seen is seen. */
const README = readFileSync(join(CLONE, 'README.md'), 'utf8');
const TOUR = 'Do it yourself';
const MARK = '@@@ end of block';

interface Block {
  readonly commands: string;
  /** Lines that the commands print, in any order; `…` stands for anything. */
  readonly shows: readonly string[];
}

/** The shell blocks of a section, each with the text block that follows it at once. */
function blocksOf(section: string): Block[] {
  const text = README.split(/^## /m).find((part) => part.startsWith(`${section}\n`)) ?? '';
  const fences = /^```sh\n([\s\S]*?)^```\n(?:```text\n([\s\S]*?)^```\n)?/gm;
  return [...text.matchAll(fences)].map(([, commands = '', shows = '']) => ({
    commands,
    shows: shows.split('\n').filter((line) => line !== ''),
  }));
}

/** Lines that are promised and not there. */
function missingLines(promised: readonly string[], output: string): string[] {
  const lines = output.split('\n').map((line) => line.trim());
  return promised.filter((line) => {
    const [begin = '', end = ''] = line.split('…');
    const at = lines.findIndex((one) =>
      line.includes('…') ? one.startsWith(begin) && one.endsWith(end) : one === line,
    );
    if (at >= 0) lines.splice(at, 1);
    return at < 0;
  });
}

const users = process.getuid?.() === 0 ? [null, plainUser()] : [null];

describe('the README', () => {
  it('names only scripts that there are', () => {
    const { scripts } = JSON.parse(readFileSync(join(CLONE, 'package.json'), 'utf8'));
    const named = [...README.matchAll(/npm run (?:--silent )?([a-z-]+)|npm (start|stop|test)/g)];
    expect(named.length).toBeGreaterThan(4);
    for (const [text, run, short] of named)
      expect({ text, script: scripts[run ?? short ?? ''] }).not.toHaveProperty('script', undefined);
  });

  it('begins with installing and starting', () => {
    expect(blocksOf('Run it').map(({ commands }) => commands)).toEqual(['npm ci && npm start\n']);
  });

  it.each(users.map((user) => ({ user, name: user ? 'a plain user' : `uid ${process.getuid?.()}` })))(
    'leads $name through its tour',
    async ({ user }) => {
      const blocks = blocksOf(TOUR);
      expect(blocks.filter(({ shows }) => shows.length > 0).length).toBeGreaterThan(1);
      for (const [, port] of new Set(README.matchAll(/--protocol-port (\d+) --wait p$/gm))) {
        expect(await isFree(Number(port)), `Port ${port} of 127.0.0.1, which the tour needs, is taken`).toBe(true);
      }
      const journey = new Journey(user);
      try {
        const start = await journey.npm('start', '--', '--detach');
        expect({ code: start.code, stderr: start.stderr }).toEqual({ code: 0, stderr: '' });
        const script = blocks.map(({ commands }) => `${commands}\necho '${MARK}'\n`).join('');
        const { code, stdout, stderr } = await journey.shell(`set -e\n${script}`);
        const outputs = stdout.split(`${MARK}\n`);
        for (const [index, { commands, shows }] of blocks.entries()) {
          expect({ commands, missing: missingLines(shows, outputs[index] ?? ''), stdout, stderr }).toMatchObject({
            missing: [],
          });
        }
        expect({ code, stderr: code === 0 ? '' : stderr, blocks: outputs.length - 1 }).toEqual({
          code: 0,
          stderr: '',
          blocks: blocks.length,
        });
        expect(await journey.json('loadbalancer', 'list')).toEqual([]);
      } finally {
        await journey.end();
      }
      expect(await journey.processesOf(journey.home)).toEqual([]);
    },
    240_000,
  );
});
