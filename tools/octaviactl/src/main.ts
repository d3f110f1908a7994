/** The command line: builds the grammar, runs one command, turns failures into exit codes. */
import { CliError, EXIT } from './errors.ts';
import { exitOnSignals } from './interrupt.ts';
import { buildProgram } from './program.ts';
import { report } from './report.ts';

/** Runs one command line (without node and script). Returns the exit code; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  exitOnSignals();
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok); // Whoever reads us may stop early, as `head` does.
    process.exit(report(new CliError(`Cannot write the result: ${error.message}`, { reason: 'OUTPUT_FAILED' }), argv));
  });
  const program = buildProgram();
  try {
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync(argv, { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    return report(error, argv);
  }
}
