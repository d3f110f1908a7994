import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Project, projects, ROOT } from './projects.ts';

/** Which layers a layer may use: down only, never up, never sideways. Source: docs/architecture.md. */
const MAY_USE: Record<string, readonly string[]> = {
  app: ['part', 'base'],
  part: ['base'],
  base: [],
  tool: ['part', 'base'],
};
/** The tests of this check plant violations in text. */
const NOT_CHECKED = ['**/node_modules/**', '**/dist/**', 'tools/checks/test/**'];
const OUR_IMPORT = /(?:from|import)\s*\(?\s*['"](@octavia\/[^'"]+)['"]/g;

/** Returns what breaks the arrows, one sentence each: in the manifests, and in the imports of the sources. */
export function brokenArrows(root = ROOT): string[] {
  const all = projects(root);
  return all.flatMap((project) => [...brokenManifest(project, all), ...brokenImports(project, all, root)]);
}

function brokenManifest(project: Project, all: readonly Project[]): string[] {
  const allowed = MAY_USE[project.layer];
  if (!allowed)
    return [`${project.folder}/package.json: layer:${project.layer} is no layer; use one of ${Object.keys(MAY_USE)}.`];
  return project.uses.flatMap((name) => {
    const used = all.find((candidate) => candidate.name === name);
    if (!used) return [`${project.folder}/package.json: ${name} does not exist.`];
    if (allowed.includes(used.layer)) return [];
    return [`${project.folder} (layer:${project.layer}) may not use ${used.folder} (layer:${used.layer}).`];
  });
}

/** Imports name a package that the manifest declares, and only what that package exports. */
function brokenImports(project: Project, all: readonly Project[], root: string): string[] {
  return globSync(`${project.folder}/**/*.ts`, { cwd: root, exclude: NOT_CHECKED }).flatMap((file) => {
    const isTest = /(\.test\.ts$|\/test\/|\/testing\/)/.test(file);
    const text = readFileSync(join(root, file), 'utf8');
    return [...text.matchAll(OUR_IMPORT)].flatMap(([, specifier = '']) => {
      const name = specifier.split('/').slice(0, 2).join('/');
      const declared = isTest ? [...project.uses, ...project.testUses] : project.uses;
      if (!declared.includes(name) && name !== project.name)
        return [`${file} imports ${name}, which its package.json does not declare.`];
      const used = all.find((candidate) => candidate.name === name);
      const exported = used && exportsOf(used, root).includes(`.${specifier.slice(name.length)}`);
      return exported
        ? []
        : [`${file} imports ${specifier}, which ${name} does not export: import the package, never a file inside it.`];
    });
  });
}

function exportsOf(project: Project, root: string): string[] {
  return Object.keys(JSON.parse(readFileSync(join(root, project.folder, 'package.json'), 'utf8')).exports ?? {});
}
