/** Shows how a change gets on: a moving line on a terminal, else one line for each change, on standard error. */
import type { StatusDetail } from '@octavia/proto';
import type { Format } from './globals.ts';
import { takesColour } from './output/colour.ts';
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
export async function openProgress(format: Format): Promise<Progress> {
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

async function spinner(): Promise<Progress> {
  const { default: ora } = await import('ora');
  // Without `discardStdin: false` the terminal goes raw, and Ctrl-C would no longer reach us as a signal.
  const spinning = ora({
    stream: process.stderr,
    discardStdin: false,
    color: takesColour(process.stderr) ? 'cyan' : undefined,
  });
  const stop = () => spinning.stop();
  process.once('exit', stop);
  spinning.start();
  const say = (label: string, text: string) => {
    const width = Math.max(20, (process.stderr.columns ?? 80) - 4); // The spinner and a margin.
    const line = `${label}: ${text}`;
    spinning.text = line.length > width ? `${line.slice(0, width - 1)}…` : line;
  };
  return {
    show: (label, state) => say(label, describeProgress(state)),
    note: say,
    end: () => {
      process.removeListener('exit', stop);
      stop();
    },
  };
}
