/** Colours of statuses: only on a terminal, and never when NO_COLOR says so (no-color.org). */
const GREEN = 32;
const YELLOW = 33;
const RED = 31;

const COLOURS: Readonly<Record<string, number>> = {
  ACTIVE: GREEN,
  ONLINE: GREEN,
  SERVING: GREEN,
  ALLOCATED: GREEN,
  READY: GREEN,
  SUCCEEDED: GREEN,
  DONE: GREEN,
  QUEUED: YELLOW,
  RUNNING: YELLOW,
  STARTED: YELLOW,
  CANCELLED: YELLOW,
  FAILED: RED,
  PENDING_CREATE: YELLOW,
  PENDING_UPDATE: YELLOW,
  PENDING_DELETE: YELLOW,
  BOOTING: YELLOW,
  DEGRADED: YELLOW,
  DRAINING: YELLOW,
  ERROR: RED,
  NOT_SERVING: RED,
  UNREACHABLE: RED,
};

const COLUMNS: ReadonlySet<string> = new Set(['provisioning_status', 'operating_status', 'status', 'state']);

/** Whether this stream takes colours. */
export function takesColour(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
}

/** Colours a status, where the column holds one and standard output takes colours. */
export function coloured(column: string, text: string): string {
  const code = COLUMNS.has(column) && takesColour(process.stdout) ? COLOURS[text] : undefined;
  return code === undefined ? text : paint(code, text);
}

/** Text in red, where standard error takes colours. */
export function red(text: string): string {
  return takesColour(process.stderr) ? paint(RED, text) : text;
}

function paint(code: number, text: string): string {
  return `\u001b[${code}m${text}\u001b[0m`;
}
