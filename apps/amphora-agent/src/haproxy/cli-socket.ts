import { connect } from 'node:net';

/** 20 listeners with 500 members give 300 kB of statistics. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/** HAProxy did not answer on its socket in time, or not at all. */
export class HaproxySilent extends Error {}

/**
 * Sends one command to a statistics or master socket and returns the answer.
 * @throws HaproxySilent
 */
export function askHaproxy(socketPath: string, command: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const socket = connect({ path: socketPath });
    const fail = (reason: string) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new HaproxySilent(`HAProxy did not answer "${command}" on ${socketPath}: ${reason}`));
    };
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs);
    socket.on('error', (error) => fail(error.message));
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > MAX_ANSWER_BYTES) fail(`the answer has more than ${MAX_ANSWER_BYTES} bytes`);
    });
    socket.on('end', () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(Buffer.concat(chunks).toString('utf8'));
    });
    // The end of the question must be marked: the master's socket keeps a session open for more commands.
    socket.end(`${command}\n`);
  });
}
