/** How commands are declared and run. What a command does is loaded only when it runs, so that help stays fast. */
import type { Command } from 'commander';
import type { GlobalOptions } from './globals.ts';
import type { Session } from './session.ts';

/** What a command does. `args` are its positional arguments, in the order of its usage. */
export type Action<Options> = (session: Session, args: readonly string[], options: Options) => Promise<void>;

/** Makes a command with examples under its help. */
export function leaf(parent: Command, name: string, summary: string, examples: readonly string[]): Command {
  const command = parent.command(name).description(summary).addHelpText('after', exampleText(examples));
  examplesOf.set(command, examples);
  return command;
}

const examplesOf = new WeakMap<Command, readonly string[]>();
/** Examples that the help of a group shows. */
const EXAMPLES_OF_GROUP = 4;

function exampleText(examples: readonly string[]): string {
  return `\nExamples:\n${examples.map((example) => `  $ octaviactl ${example}`).join('\n')}`;
}

/** Makes a command that only holds others. Its help has the first example of each. */
export function group(parent: Command, name: string, summary: string): Command {
  const command = parent.command(name).description(summary);
  return command.addHelpText('after', () => {
    const firsts = command.commands.flatMap((child) => examplesOf.get(child)?.slice(0, 1) ?? []);
    return exampleText(firsts.slice(0, EXAMPLES_OF_GROUP));
  });
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
