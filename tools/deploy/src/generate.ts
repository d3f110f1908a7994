/** Writes deploy/octavia.conf.example. With `--check`: exit code 1 when what is committed is not what the code gives. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { configExample } from './config-example.ts';
import { readOptions } from './options.ts';
import { DEPLOY } from './root.ts';

const file = `${DEPLOY}/octavia.conf.example`;
const text = configExample(await readOptions());
if (!process.argv.includes('--check')) writeFileSync(file, text);
else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
  process.stderr.write('deploy/octavia.conf.example is not what the code gives. Run: npm run generate\n');
  process.exitCode = 1;
}
