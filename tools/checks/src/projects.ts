import { globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

export interface Project {
  /** Package name, such as `@octavia/db`. */
  readonly name: string;
  /** Folder relative to the root, such as `libs/db`. */
  readonly folder: string;
  readonly layer: string;
  /** Our own packages among its dependencies. */
  readonly uses: readonly string[];
  /** Those that only its tests need. */
  readonly testUses: readonly string[];
}

/** Every package of the workspace below `root`. */
export function projects(root = ROOT): Project[] {
  return globSync('{libs,apps,tools}/*/package.json', { cwd: root }).map((file) => {
    const manifest = JSON.parse(readFileSync(join(root, file), 'utf8'));
    const layer = (manifest.nx?.tags ?? []).find((tag: string) => tag.startsWith('layer:')) ?? 'layer:none';
    const ours = (dependencies: object | undefined): string[] =>
      Object.keys(dependencies ?? {}).filter((name) => name.startsWith('@octavia/'));
    return {
      name: manifest.name,
      folder: dirname(file),
      layer: layer.slice('layer:'.length),
      uses: ours(manifest.dependencies),
      testUses: ours(manifest.devDependencies),
    };
  });
}
