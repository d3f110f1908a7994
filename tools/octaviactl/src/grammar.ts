/** How commands are declared and run. What a command does is loaded only when it runs, so that help stays fast. */
import type { Command } from 'commander';
import type { GlobalOptions } from './globals.ts';
import type { Session } from './session.ts';

/** What a command does. `args` are its positional arguments, in the order of its usage. */
export type Action<Options> = (session: Session, args: readonly string[], options: Options) => Promise<void>;

/** Makes a command with examples under its help. */
export function leaf(parent: Command, name: string, summary: string, examples: readonly string[]): Command {
  const lines = examples.map((example) => `  $ octaviactl ${example}`);
  return parent
    .command(name)
    .description(summary)
    .addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

/** Makes a command that only holds others. */
export function group(parent: Command, name: string, summary: string): Command {
  return parent.command(name).description(summary);
}

/** Turns a lazily loaded action into what commander calls. */
export function run<Options>(load: () => Promise<Action<Options>>): (...all: unknown[]) => Promise<void> {
  return async (...all) => {
    const command = all.at(-1) as Command;
    const options = all.at(-2) as Options;
    const args = all.slice(0, -2).filter((arg) => typeof arg === 'string');
    const [{ Session }, { fromFailure }, action] = await Promise.all([
      import('./session.ts'),
      import('./connection/failure.ts'),
      load(),
    ]);
    const session = new Session(command.optsWithGlobals<GlobalOptions>());
    try {
      await action(session, args, options);
    } catch (error) {
      throw fromFailure(error, {
        options: command.options.flatMap((option) => (option.long ? [option.long] : [])),
        address: session.address,
        requestId: session.requestId,
      });
    } finally {
      session.close();
    }
  };
}
