import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { bootId, type ProcessIdentity, readProcess, runs } from '../compute/local/process-table.ts';
import { readIfThere, writeWhole } from '../files.ts';

/**
 * Who has which prefix on this machine. It is of /run, as the kernel's things are: a reboot takes both. An entry is written before
 * anything is made, so that whatever there is can be traced to the data folder that it belongs to.
 */
const REGISTRY_FOLDER = '/run/octavia-namespaces';

const entrySchema = z.object({
  version: z.literal(1),
  prefix: z.string().regex(/^o[0-9a-z]{4}$/),
  installationId: z.string(),
  dataFolder: z.string(),
  runtimeFolder: z.string(),
  hostId: z.string(),
  /** Block of the installation's two networks. */
  cidrs: z.array(z.string()),
  /** Whether the installation lives no longer than the process that wrote this: that of a test. */
  endsWithWriter: z.boolean(),
  writer: z.object({ pid: z.int(), startTime: z.string(), boot: z.string() }),
});

/** What is known of an installation that has, or had, something on this machine. */
export type RegistryEntry = z.infer<typeof entrySchema>;

/** Writes or replaces the entry of an installation, with this process as its writer. */
export async function register(entry: Omit<RegistryEntry, 'version' | 'writer'>): Promise<void> {
  const own = readProcess(process.pid);
  const writer = { pid: process.pid, startTime: own?.startTime ?? '', boot: bootId() };
  await writeWhole(fileOf(entry.prefix), `${JSON.stringify({ version: 1, ...entry, writer }, null, 2)}\n`);
}

export async function unregister(prefix: string): Promise<void> {
  await rm(fileOf(prefix), { force: true });
}

/** All entries that this version understands. */
export async function registered(): Promise<readonly RegistryEntry[]> {
  const names = await readdir(REGISTRY_FOLDER).catch(() => []);
  const texts = await Promise.all(
    names.filter((name) => !name.startsWith('.')).map((name) => readIfThere(join(REGISTRY_FOLDER, name))),
  );
  return texts.flatMap((text) => {
    try {
      return [entrySchema.parse(JSON.parse(text ?? ''))];
    } catch {
      return [];
    }
  });
}

/** Whether the process that wrote the entry still runs. */
export function isWriterAlive({ writer }: RegistryEntry): boolean {
  const identity: ProcessIdentity = writer;
  return writer.boot === bootId() && runs(identity);
}

function fileOf(prefix: string): string {
  return join(REGISTRY_FOLDER, `${prefix}.json`);
}
