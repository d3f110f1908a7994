/** The command line: builds the grammar, runs one command, turns failures into exit codes. */
import { exitOnSignals } from './interrupt.ts';
import { buildProgram } from './program.ts';
import { report } from './report.ts';

/** Runs one command line (without node and script). Returns the exit code; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  exitOnSignals();
  // Whoever reads us may stop early, as `head` does.
  process.stdout.on('error', () => process.exit(0));
  const program = buildProgram();
  try {
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    return report(error, argv);
  }
}
