/** Generates the code again into a temporary folder and compares it with what is committed. Exit code 1 if they differ. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const generated = 'libs/proto/src/generated';
const descriptor = 'libs/proto/descriptor.binpb';

/** Files below a folder by relative path; nothing if there is no such folder. */
function filesBelow(folder: string): Map<string, Buffer> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = entries.map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path)]));
}

function differences(committed: Map<string, Buffer>, fresh: Map<string, Buffer>): string[] {
  const paths = [...new Set([...committed.keys(), ...fresh.keys()])].sort();
  return paths.filter((path) => {
    const other = committed.get(path);
    return !other || !fresh.get(path)?.equals(other);
  });
}

const folder = mkdtempSync(join(tmpdir(), 'octavia-proto-'));
try {
  execFileSync('buf', ['generate', '-o', folder], { stdio: 'inherit' });
  const fresh = join(folder, 'descriptor.binpb');
  execFileSync('buf', ['build', '-o', fresh, '--as-file-descriptor-set', '--exclude-source-info'], {
    stdio: 'inherit',
  });
  const stale = differences(filesBelow(generated), filesBelow(join(folder, generated)));
  if (!readFileSync(fresh).equals(readFileSync(descriptor))) stale.push(descriptor);
  if (stale.length > 0) {
    process.stderr.write(`Not what proto/ gives: ${stale.join(', ')}. Run: npm run generate\n`);
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
