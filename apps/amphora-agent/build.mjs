// Bundles the agent into one file. Does nothing when its inputs are those of the last build.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const outfile = join(here, 'dist/amphora-agent.mjs');
const stampFile = join(here, 'dist/amphora-agent.inputs');

/** Sources, this file and the pinned versions of all libraries: whatever can change the bundle. */
function hashOfInputs() {
  const sources = readdirSync(join(here, 'src'), { recursive: true })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .sort()
    .map((name) => join(here, 'src', name));
  const hash = createHash('sha256');
  for (const file of [...sources, fileURLToPath(import.meta.url), join(here, '../../package-lock.json')]) {
    hash.update(`${file}\0`).update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

const inputs = hashOfInputs();
const isFresh = existsSync(outfile) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === inputs;
if (!isFresh) {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    write: false,
    entryPoints: [join(here, 'src/main.ts')],
    outfile,
    bundle: true,
    minify: true,
    keepNames: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    legalComments: 'none',
    logLevel: 'warning',
    // Some libraries inside are CommonJS and call `require` for Node's own modules.
    banner: { js: "import{createRequire as c}from'node:module';const require=c(import.meta.url);" },
  });
  mkdirSync(dirname(outfile), { recursive: true });
  // In one step: another process may build or start the agent at the same time.
  writeFileSync(`${outfile}.${process.pid}`, outputFiles[0].contents);
  renameSync(`${outfile}.${process.pid}`, outfile);
  // Last, so that a build that was cut off is done again.
  writeFileSync(stampFile, inputs);
}
