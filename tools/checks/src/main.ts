import { brokenArrows } from './arrows.ts';
import { brokenFiles } from './files.ts';
import { outdatedMutations } from './mutations.ts';
import { brokenPages } from './pages.ts';
import { ROOT } from './projects.ts';

/** What no linter checks: which way dependencies point, and the limits of files, links of pages, aims of mutations. Exit code 1 when something is broken. */
const broken = [...brokenArrows(), ...brokenFiles(), ...brokenPages(), ...outdatedMutations(ROOT)];
for (const sentence of broken) process.stderr.write(`${sentence}\n`);
process.exitCode = broken.length > 0 ? 1 : 0;
