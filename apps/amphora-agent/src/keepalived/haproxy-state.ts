import { join } from 'node:path';
import { replaceFile } from '../files.ts';

/**
 * Octavia's name. It fails unless every HAProxy of this amphora runs, and needs no other program. keepalived asks it now and then, for the
 * case that the agent is dead as well; otherwise `haproxy.state` was quicker. A dead process that nobody has waited for has no `exe`.
 */
const CHECK_SCRIPT = `#!/bin/sh
IFS= read -r pids < "\${0%/*}/haproxy.pids" || exit 1
[ -n "$pids" ] || exit 1
for pid in $pids; do [ -e "/proc/$pid/exe" ] || exit 1; done
`;

/** What keepalived is told of HAProxy, in files that it watches. */
export class HaproxyState {
  readonly #folder: string;
  #written = '';

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Writes the check script. */
  prepare(): void {
    replaceFile(join(this.#folder, 'check_script.sh'), CHECK_SCRIPT, 0o755);
  }

  /**
   * Tells what runs. keepalived sees the change of the first file within milliseconds, and gives up the VIP or becomes a backup.
   * @param pids masters that should run; @param isServing whether all of them do, and there is one
   */
  tell(isServing: boolean, pids: readonly number[]): void {
    const content = `${isServing ? 0 : 1} ${pids.join(' ')}`;
    if (content === this.#written) return;
    replaceFile(join(this.#folder, 'haproxy.state'), isServing ? '0\n' : '1\n', 0o644);
    replaceFile(join(this.#folder, 'haproxy.pids'), `${isServing ? pids.join(' ') : ''}\n`, 0o644);
    this.#written = content;
  }
}
