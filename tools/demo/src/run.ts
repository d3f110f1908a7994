import { join } from 'node:path';
import type { Figures } from './figures.ts';
import { CLONE, homePath } from './home.ts';
import { inWords, Narrator } from './narrator.ts';
import { Problem } from './problem.ts';
import { record } from './recording.ts';
import { play } from './story.ts';

/** How the story is told. */
export interface Options {
  readonly json?: boolean;
  readonly record?: boolean;
}

/** Exit codes, as shells know them. */
const INTERRUPTED = 130;
const NOT_AS_PROMISED = 1;

class Interrupted extends Error {}

/** Plays the demo, cleans up, and returns the exit code. */
export async function run({ json = false, record: isRecorded = false }: Options): Promise<number> {
  const startedAt = performance.now();
  let told = '';
  const narrator = new Narrator(
    (text) => {
      told += text;
      // Whoever wants figures gets nothing else on standard output.
      (json ? process.stderr : process.stdout).write(text);
    },
    process.stdout.isTTY && !json && !isRecorded && !process.env.NO_COLOR,
  );
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // A second Ctrl-C does not wait for the cleaning up; the next demo does it.
      if (interruption.signal.aborted) process.exit(INTERRUPTED);
      interruption.abort(new Interrupted(signal));
    });
  }
  const figures: Figures = { started_ms: null };
  const undo: (() => Promise<void>)[] = [];
  const stage = { home: homePath(), narrator, signal: interruption.signal, figures, undo };
  const problems: string[] = [];
  await play(stage).catch((error) => {
    problems.push(describe(error));
  });
  if (problems.length > 0) narrator.line(`\n   ${problems[0]}`);
  if (undo.length > 0) narrator.act('Cleaning up');
  for (const step of undo.splice(0).reverse()) {
    await step().catch((error) => {
      problems.push(describe(error));
      narrator.line(`   ${describe(error)}`);
    });
  }
  const totalMs = Math.round(performance.now() - startedAt);
  const isGood = problems.length === 0;
  const isInterrupted = interruption.signal.aborted;
  if (isGood) narrator.title(`Everything happened as promised, in ${inWords(totalMs)}.`);
  else narrator.title(problems.length === 1 && isInterrupted ? 'Interrupted; nothing is left.' : 'Not as promised.');
  if (json) {
    process.stdout.write(`${JSON.stringify({ ok: isGood, problems, total_ms: totalMs, ...figures }, null, 2)}\n`);
  }
  if (isRecorded && isGood) await record(join(CLONE, 'README.md'), told);
  if (isInterrupted) return INTERRUPTED;
  return isGood ? 0 : NOT_AS_PROMISED;
}

function describe(error: unknown): string {
  if (error instanceof Interrupted) return `Interrupted (${error.message}).`;
  if (error instanceof Problem) return `NOT AS PROMISED: ${error.message}`;
  return `NOT AS PROMISED: ${error instanceof Error ? error.message : String(error)}`;
}
