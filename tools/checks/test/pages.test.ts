import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { brokenPages } from '../src/pages.ts';

describe('pages', () => {
  it('of this repository link to what is there, and decisions name tests that are there', () => {
    expect(brokenPages()).toEqual([]);
  });

  describe('with planted mistakes', () => {
    let root: string;
    const plant = (file: string, text: string): void => {
      mkdirSync(join(root, dirname(file)), { recursive: true });
      writeFileSync(join(root, file), text);
    };
    beforeEach(() => {
      root = mkdtempSync(join(tmpdir(), 'octavia-pages-'));
    });
    afterEach(() => rmSync(root, { recursive: true }));

    it('are caught when a link leads to no file', () => {
      plant('docs/a.md', '[there](b.md), [not there](c.md), [up](../README.md)');
      plant('docs/b.md', '');
      expect(brokenPages(root)).toEqual([
        'docs/a.md links to c.md, and docs/c.md does not exist.',
        'docs/a.md links to ../README.md, and README.md does not exist.',
      ]);
    });

    it('are caught when a link leads to no heading', () => {
      plant('a.md', '# One `two`: three!\n## Twice\n## Twice\n[x](#one-two-three) [y](#twice-1) [z](b.md#gone)');
      plant('b.md', '```sh\n# gone\n```\n');
      expect(brokenPages(root)).toEqual(['a.md links to b.md#gone, and that page has no such heading.']);
    });

    it('are not looked for in code, in other places of the web, or in folders', () => {
      plant('docs/a.md', '`[x](y)` [web](https://example.org/x#y) [folder](../docs)\n```\n[x](y)\n```\n');
      expect(brokenPages(root)).toEqual([]);
    });

    it('are caught when a decision names a test that is gone', () => {
      plant(
        'docs/decisions/0001-x.md',
        '# 0001\nDecision  "no test".\nCheck     libs/x: "is so", "is\n          otherwise".\n',
      );
      plant('libs/x/test/x.test.ts', "it('is so', () => {});");
      expect(brokenPages(root)).toEqual([
        'docs/decisions/0001-x.md says that a test "is otherwise" checks it; there is none.',
      ]);
    });
  });
});
