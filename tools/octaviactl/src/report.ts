/** Tells a failure to the person, or, with `-f json`, to the program: on standard error, one object. */
import { CommanderError } from 'commander';
import { CliError, EXIT } from './errors.ts';
import { type Format, formatOf } from './globals.ts';
import { red } from './output/colour.ts';

/** Reports what was thrown, and returns the exit code. */
export function report(error: unknown, argv: readonly string[]): number {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok; // Help and version.
  const failure = asCliError(error);
  process.stderr.write(render(failure, formatOf(argv)));
  return failure.exitCode;
}

function asCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (error instanceof CommanderError) {
    const isBareGroup = error.code === 'commander.help'; // Its help was written already.
    return new CliError(isBareGroup ? 'A command is missing.' : error.message.replace(/^error: /, ''), {
      exitCode: EXIT.usage,
      reason: 'USAGE',
      hint: isBareGroup ? undefined : 'See --help.',
    });
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new CliError(text, { reason: 'BUG', hint: 'This is a fault of octaviactl. Please report it.' });
}

function render({ message, reason, hint, fields, details }: CliError, format: Format): string {
  if (format === 'json') {
    const named = fields.map(({ option, message: text, reason: why }) => ({ option, message: text, reason: why }));
    return `${JSON.stringify({ error: { reason, message, fields: named, hint: hint ?? null, details } })}\n`;
  }
  const lines =
    fields.length > 0
      ? fields.map((field) => `${field.option}: ${field.message} [${field.reason || reason}]`)
      : [reason === 'USAGE' ? message : `${message} [${reason}]`];
  return [`${red('error:')} ${lines.join('\n       ')}`, ...(hint ? [hint] : []), ''].join('\n');
}
