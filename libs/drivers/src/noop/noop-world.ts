import { join } from 'node:path';
import { type EpochFences, FolderFences, MemoryFences } from '../fences/epoch-fences.ts';
import { FolderStore, MemoryStore, type StateStore } from './state-store.ts';

/** How a noop driver keeps its world. */
export interface NoopOptions {
  /**
   * Folder that all worker processes of a machine share: state, and the highest epoch of each flow, outlive every process. Null or
   * absent: memory of this process alone.
   */
  readonly folder?: string | null;
  /** After which a call that a test makes to time out gives up. Milliseconds. */
  readonly timeOutMs?: number;
  /** Called where a test makes the process die between effect and answer, such as `() => process.kill(process.pid, 'SIGKILL')`. */
  readonly onCrash?: (method: string) => void;
}

export interface NoopWorld {
  readonly store: StateStore;
  readonly fences: EpochFences;
}

/** Opens the world of one kind of driver. @param kind such as `compute`: names its part of the folder */
export function openNoopWorld(kind: string, { folder }: NoopOptions): NoopWorld {
  if (!folder) return { store: new MemoryStore(), fences: new MemoryFences() };
  return {
    store: new FolderStore(join(folder, kind)),
    fences: new FolderFences(join(folder, 'fences', kind)),
  };
}
