/** What Ctrl-C does: it ends the command, not the change. */
import { EXIT } from './errors.ts';

let changing = false;

/** From here on, being interrupted leaves a change under way. */
export function changeWasSent(): void {
  changing = true;
}

/** Ends the process on SIGINT and SIGTERM, and says what becomes of the change. */
export function exitOnSignals(): void {
  const end = (code: number) => () => {
    if (changing)
      process.stderr.write('\nInterrupted. The change goes on; see it with: octaviactl loadbalancer list\n');
    process.exit(code);
  };
  process.on('SIGINT', end(EXIT.interrupted));
  process.on('SIGTERM', end(143));
}
