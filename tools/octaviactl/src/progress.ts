/** Shows how a change gets on: a moving line on a terminal, else one line for each change, on standard error. */
import type { StatusDetail } from '@octavia/proto';
import type { Format } from './globals.ts';
import { printable } from './output/format.ts';
import { toWord } from './words.ts';

/** What progress is told about. */
export interface Progressing {
  readonly provisioningStatus: string;
  readonly statusDetail?: StatusDetail | undefined;
}

export interface Progress {
  show(label: string, state: Progressing): void;
  /** Says something that is no state. */
  note(label: string, text: string): void;
  end(): void;
}

/** The status, and what is being done about it. */
export function describeProgress({ provisioningStatus, statusDetail }: Progressing): string {
  const parts = [toWord('PROVISIONING_STATUS', provisioningStatus) ?? 'without status'];
  if (statusDetail?.flow) parts.push(`flow ${statusDetail.flow}`);
  if (statusDetail?.step) {
    const again = statusDetail.attempt > 1 ? ` (attempt ${statusDetail.attempt})` : '';
    parts.push(`step ${statusDetail.step}${again}`);
  }
  if (statusDetail?.waitingFor) parts.push(`waiting for ${statusDetail.waitingFor}`);
  if (statusDetail?.lastError) parts.push(`last error: ${statusDetail.lastError}`);
  return parts.join(', ');
}

/** Opens the progress of one wait. */
export function openProgress(format: Format): Progress {
  if (format !== 'json' && process.stderr.isTTY) return spinner();
  let last = '';
  const line = (label: string, text: string) => {
    if (text === last) return;
    last = text;
    process.stderr.write(
      format === 'json' ? `${JSON.stringify({ progress: label, state: text })}\n` : `${label}: ${text}\n`,
    );
  };
  return { show: (label, state) => line(label, describeProgress(state)), note: line, end: () => {} };
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
/** Terminals that do not say how wide they are: 0 columns, as under `script` or `docker exec -t`. */
const DEFAULT_COLUMNS = 80;
const NARROWEST = 20;

/** One line that is written over and over. It never wraps, or it could not be written over. */
function spinner(): Progress {
  let line = '';
  let frame = 0;
  const draw = () => {
    const width = Math.max(NARROWEST, process.stderr.columns || DEFAULT_COLUMNS) - 3; // Frame, space, margin.
    const fitting = line.length > width ? `${line.slice(0, width - 1)}…` : line;
    process.stderr.write(`\r\u001b[K${FRAMES[frame % FRAMES.length]} ${fitting}`);
  };
  const timer = setInterval(() => {
    frame += 1;
    draw();
  }, FRAME_MS);
  const clear = () => process.stderr.write('\r\u001b[K');
  process.once('exit', clear);
  const say = (label: string, text: string) => {
    line = printable(`${label}: ${text}`);
    draw();
  };
  return {
    show: (label, state) => say(label, describeProgress(state)),
    note: say,
    end: () => {
      clearInterval(timer);
      process.removeListener('exit', clear);
      clear();
    },
  };
}
