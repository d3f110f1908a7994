/** The grammar as completion needs it. */
import type { Argument, Command, Option } from 'commander';

export interface CompletedWord {
  readonly word: string;
  readonly description: string;
}

export interface CompletedOption {
  /** With dashes. */
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  /** The values that it may have; empty: any. */
  readonly values: readonly string[];
}

/** One command, with what may follow it. */
export interface CompletedCommand {
  /** Such as /loadbalancer/listener/create; empty: the whole program. */
  readonly path: string;
  /** Commands below it, or else the values of its arguments. */
  readonly words: readonly CompletedWord[];
  /** Those of the whole program too: they may stand anywhere. */
  readonly options: readonly CompletedOption[];
}

/** Every command, from the program down. */
export function treeOf(program: Command): CompletedCommand[] {
  return walk(program, '', program.options.map(toOption));
}

function walk(command: Command, path: string, global: readonly CompletedOption[]): CompletedCommand[] {
  const below = command.commands.map((child) => ({ word: child.name(), description: child.description() }));
  const own = path === '' ? global : [...command.options.map(toOption), ...global];
  const help = { names: ['--help', '-h'], description: 'show help', takesValue: false, values: [] };
  const here = { path, words: [...below, ...command.registeredArguments.flatMap(valuesOf)], options: [...own, help] };
  return [here, ...command.commands.flatMap((child) => walk(child, `${path}/${child.name()}`, global))];
}

function toOption(option: Option): CompletedOption {
  const { words = [] } = (option.parseArg ?? {}) as { words?: readonly string[] };
  return {
    names: [option.long, option.short].filter((name) => name !== undefined),
    description: option.description,
    takesValue: option.required || option.optional,
    values: option.argChoices ?? words,
  };
}

function valuesOf(argument: Argument): CompletedWord[] {
  return (argument.argChoices ?? []).map((word) => ({ word, description: argument.description }));
}
