/**
 * Bundles the command line into dist/octaviactl.mjs and dist/octaviactl-chunks/, so that it starts fast and runs under
 * the Node of the system (20 or later). Files appear whole: a command may run while this does.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const { version } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));

const { outputFiles } = await build({
  absWorkingDir: here,
  entryPoints: { octaviactl: 'src/main.ts' },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  chunkNames: 'octaviactl-chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  minify: true,
  keepNames: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  conditions: ['@octavia/source'],
  define: { OCTAVIACTL_VERSION: JSON.stringify(version) },
  // CommonJS libraries in the bundle ask for Node's modules by `require`.
  banner: {
    js: "import { createRequire as octaviactlRequire } from 'node:module'; const require = octaviactlRequire(import.meta.url);",
  },
  write: false,
  logLevel: 'warning',
});

for (const { path, contents } of outputFiles) {
  // A user who may only read the clone starts what is built already.
  if (existsSync(path) && readFileSync(path).equals(contents)) continue;
  mkdirSync(dirname(path), { recursive: true });
  const fresh = `${path}.${randomUUID()}`;
  writeFileSync(fresh, contents);
  renameSync(fresh, path);
}

/** Age in milliseconds from which chunks of earlier builds go; a command that runs now may still load younger ones. */
const STALE_MS = 3_600_000;
const chunks = join(here, 'dist/octaviactl-chunks');
const current = new Set(outputFiles.map(({ path }) => path));
for (const name of readdirSync(chunks)) {
  const path = join(chunks, name);
  if (!current.has(path) && Date.now() - statSync(path).mtimeMs > STALE_MS) rmSync(path, { force: true });
}
