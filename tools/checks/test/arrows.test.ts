import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { brokenArrows } from '../src/arrows.ts';

let root: string;
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A small workspace: an app over a part over a base, and a second app; `changes` plants the violation. */
function workspace(changes: Record<string, unknown>): void {
  root = mkdtempSync(join(tmpdir(), 'octavia-arrows-'));
  const manifest = (name: string, layer: string, uses: string[] = []) => ({
    name: `@octavia/${name}`,
    exports: { '.': {} },
    dependencies: Object.fromEntries(uses.map((used) => [`@octavia/${used}`, '*'])),
    nx: { tags: [`layer:${layer}`] },
  });
  const files: Record<string, unknown> = {
    'libs/domain/package.json': manifest('domain', 'base'),
    'libs/db/package.json': manifest('db', 'part', ['domain']),
    'libs/drivers/package.json': manifest('drivers', 'part', ['domain']),
    'apps/worker/package.json': manifest('worker', 'app', ['db', 'domain']),
    'apps/health/package.json': manifest('health', 'app', ['db']),
    'apps/worker/src/main.ts': `import { Database } from '@octavia/db';\n`,
    ...changes,
  };
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), typeof content === 'string' ? content : JSON.stringify(content));
  }
}

describe('the arrows between packages', () => {
  it('are whole in a workspace that keeps them', () => {
    workspace({});
    expect(brokenArrows(root)).toEqual([]);
  });

  it.each([
    ['an app that uses an app', 'apps/worker', 'app', 'health', /apps\/worker .* may not use apps\/health/],
    ['a part that uses a part', 'libs/drivers', 'part', 'db', /libs\/drivers .* may not use libs\/db/],
    ['a base that uses a part', 'libs/domain', 'base', 'db', /libs\/domain .* may not use libs\/db/],
  ])('catch %s', (_, folder, layer, used, message) => {
    workspace({
      [`${folder}/package.json`]: {
        name: `@octavia/${folder.split('/')[1]}`,
        exports: { '.': {} },
        dependencies: { '@octavia/db': '*', '@octavia/domain': '*', [`@octavia/${used}`]: '*' },
        nx: { tags: [`layer:${layer}`] },
      },
    });
    expect(brokenArrows(root)).toContainEqual(expect.stringMatching(message));
  });

  it('catch an import that no manifest declares', () => {
    workspace({ 'apps/health/src/main.ts': `import { shardOf } from '@octavia/domain';\n` });
    expect(brokenArrows(root)).toEqual([
      'apps/health/src/main.ts imports @octavia/domain, which its package.json does not declare.',
    ]);
  });

  it('catch an import of a file inside a package', () => {
    workspace({ 'apps/worker/src/deep.ts': `import { x } from '@octavia/db/src/core/database.ts';\n` });
    expect(brokenArrows(root)).toEqual([expect.stringMatching(/import the package, never a file inside it/)]);
  });
});
