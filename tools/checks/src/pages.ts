import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { ROOT } from './projects.ts';

const PAGES = '**/*.md';
const NOT_OURS = ['**/node_modules/**', '**/dist/**', '**/fixtures/**'];
/** `[text](target)` and `![text](target "title")`; targets hold no spaces and no brackets. */
const LINK = /\[[^\]]*\]\(\s*<?([^()\s>]+)>?(?:\s+"[^"]*")?\s*\)/g;
const ELSEWHERE = /^[a-z][a-z0-9+.-]*:|^\/\//i;
const DECISIONS = 'docs/decisions/*.md';
const TESTS = '{apps,libs,tools}/**/*.{test,contract}.ts';

/** Returns what breaks the pages of this repository, one sentence each: links to nothing, and tests that are not there. */
export function brokenPages(root = ROOT): string[] {
  const pages = globSync(PAGES, { cwd: root, exclude: NOT_OURS });
  return [...pages.flatMap((page) => brokenLinks(page, root)), ...missingTests(root)];
}

function brokenLinks(page: string, root: string): string[] {
  const text = withoutCode(readFileSync(join(root, page), 'utf8'));
  return [...text.matchAll(LINK)].flatMap(([, target = '']) => {
    if (ELSEWHERE.test(target)) return [];
    const [path = '', anchor] = decodeURIComponent(target).split('#');
    const file = path === '' ? join(root, page) : join(root, path.startsWith('/') ? '' : dirname(page), path);
    if (!existsSync(file)) return [`${page} links to ${target}, and ${relative(root, file)} does not exist.`];
    if (anchor === undefined || !file.endsWith('.md') || statSync(file).isDirectory()) return [];
    return anchorsOf(file).has(anchor) ? [] : [`${page} links to ${target}, and that page has no such heading.`];
  });
}

/** Names of a page's headings in links, as GitHub makes them: a second one of the same name gets `-1`. */
function anchorsOf(file: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of withoutFences(readFileSync(file, 'utf8')).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const words = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const name = words.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-');
    let anchor = name;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${name}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}

function withoutCode(text: string): string {
  return withoutFences(text).replace(/`[^`\n]*`/g, '');
}

function withoutFences(text: string): string {
  return text.replace(/^( *)(`{3,}|~{3,})[^\n]*\n[\s\S]*?^\1\2[^\n]*$/gm, '');
}

/** A decision that names the test which holds it must name one that is there. Names are in double quotes after `Check`. */
function missingTests(root: string): string[] {
  const decisions = globSync(DECISIONS, { cwd: root });
  if (decisions.length === 0) return [];
  const files = globSync(TESTS, { cwd: root, exclude: ['**/node_modules/**'] });
  const tests = files.map((file) => readFileSync(join(root, file), 'utf8')).join('\n');
  return decisions.flatMap((page) => {
    const [, checks = ''] = /^Check\s+([\s\S]*)$/m.exec(readFileSync(join(root, page), 'utf8')) ?? [];
    return [...checks.matchAll(/"([^"]+)"/g)].flatMap(([, quoted = '']) => {
      const name = quoted.replace(/\s+/g, ' ');
      return tests.includes(name) ? [] : [`${page} says that a test "${name}" checks it; there is none.`];
    });
  });
}
