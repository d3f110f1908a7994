/** Reads streams of the controller to their end, over lost connections. */
import type { ClientReadableStream } from '@grpc/grpc-js';
import { isUnavailable } from './connection/connection.ts';

/** Pause before a broken stream is opened again, in milliseconds. */
const REOPEN_MS = 500;

/**
 * Gives each item of a stream. One that breaks because the controller is away is opened again, by `open`, which may go on where
 * it was; a note on standard error says so, once. Returns when the controller ends it.
 * @throws what the controller answers
 */
export async function follow<T>(open: () => ClientReadableStream<T>, onItem: (item: T) => void): Promise<void> {
  let isAway = false;
  while (true) {
    try {
      const stream = open();
      for await (const item of stream) {
        isAway = false;
        onItem(item as T);
      }
      return;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      if (!isAway) process.stderr.write('The controller does not answer; trying again.\n');
      isAway = true;
      await new Promise((resolve) => setTimeout(resolve, REOPEN_MS));
    }
  }
}
