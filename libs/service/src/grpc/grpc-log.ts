import { setLogger } from '@grpc/grpc-js';
import { type Logger, logger } from '../process/logger.ts';

let log: Logger | undefined;

/** gRPC's own complaints go to standard error as bare text; here they become lines of our log. */
export function logGrpc(): void {
  if (log) return;
  const own = logger('grpc-js');
  log = own;
  const detail = (parts: unknown[]): object => ({ detail: parts.map(String).join(' ').slice(0, 1000) });
  setLogger({
    error: (...parts: unknown[]) => own.warn(detail(parts), 'gRPC complains'),
    info: (...parts: unknown[]) => own.debug(detail(parts), 'gRPC says'),
    debug: (...parts: unknown[]) => own.debug(detail(parts), 'gRPC says'),
  });
}
