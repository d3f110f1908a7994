import { z } from 'zod';
import { readIfThere, writeWhole } from '../../files.ts';

/** Raise it when a field changes its meaning; new fields need a default here instead. */
const RECORD_VERSION = 1;

const recordSchema = z.object({
  version: z.literal(RECORD_VERSION),
  amphoraId: z.string(),
  hostId: z.string(),
  address: z.string(),
  agentPort: z.int(),
  zone: z.string(),
  imageId: z.string(),
  computeFlavor: z.string(),
});

/** What a build wrote down before it started anything. */
export type InstanceRecord = Omit<z.infer<typeof recordSchema>, 'version'>;

export async function writeRecord(path: string, record: InstanceRecord): Promise<void> {
  await writeWhole(path, `${JSON.stringify({ version: RECORD_VERSION, ...record }, null, 2)}\n`);
}

/** The record, or null: there is none, or none that this version can read. */
export async function readRecord(path: string): Promise<InstanceRecord | null> {
  const text = await readIfThere(path);
  if (text === null) return null;
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
