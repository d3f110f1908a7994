/** Writes the completion script of a shell, from the grammar. Pure text: completing a line starts no octaviactl. */
import type { Command } from 'commander';
import { type CompletedCommand, type CompletedOption, treeOf } from './tree.ts';

export function completionScript(program: Command, shell: 'bash' | 'zsh' | 'fish'): string {
  const tree = treeOf(program);
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](tree);
}

/** In single quotes, for every shell that we write for: none of our texts has a backslash. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** The paths of all commands but the program, as alternatives of a `case`. */
function pathPattern(tree: readonly CompletedCommand[]): string {
  return tree
    .map(({ path }) => path)
    .filter((path) => path !== '')
    .join('|');
}

/** Each option with a value, once for each of its names, with the `case` pattern under which it is meant. */
function valueCases(tree: readonly CompletedCommand[], write: (option: CompletedOption) => string): string[] {
  return tree.flatMap(({ path, options }) =>
    options
      .filter(({ takesValue }) => takesValue)
      .map((option) => `    ${option.names.map((name) => quoted(`${path} ${name}`)).join('|')}) ${write(option)} ;;`),
  );
}

function wordsOf({ words, options }: CompletedCommand): string {
  return [...words.map(({ word }) => word), ...options.flatMap(({ names }) => names.slice(0, 1))].join(' ');
}

function bashScript(tree: readonly CompletedCommand[]): string {
  const values = valueCases(tree, ({ names, values }) => {
    if (values.length > 0) return `COMPREPLY=($(compgen -W ${quoted(values.join(' '))} -- "$cur")); return`;
    return names.includes('--config') ? 'COMPREPLY=($(compgen -f -- "$cur")); return' : 'return';
  });
  const words = tree.map((command) => `    ${quoted(command.path)}) words=${quoted(wordsOf(command))} ;;`);
  return `# Completion of octaviactl for bash. Try it with: source <(octaviactl completion bash)
_octaviactl() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD - 1]}" path='' words='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path/\${COMP_WORDS[i]}" in
    ${pathPattern(tree)}) path="$path/\${COMP_WORDS[i]}" ;;
    esac
  done
  case "$path $prev" in
${values.join('\n')}
  esac
  case "$path" in
${words.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _octaviactl octaviactl
`;
}

function zshScript(tree: readonly CompletedCommand[]): string {
  const described = (word: string, description: string): string =>
    quoted(`${word}:${description.replaceAll(':', '\\:')}`);
  const values = valueCases(tree, ({ names, values }) => {
    if (values.length > 0) return `compadd -- ${values.join(' ')}; return`;
    return names.includes('--config') ? '_files; return' : 'return';
  });
  const words = tree.map(({ path, words: below, options }) => {
    const found = [
      ...below.map(({ word, description }) => described(word, description)),
      ...options.flatMap(({ names, description }) => names.slice(0, 1).map((name) => described(name, description))),
    ];
    return `    ${quoted(path)}) found=(${found.join(' ')}) ;;`;
  });
  return `#compdef octaviactl
# Completion of octaviactl for zsh. Try it with: source <(octaviactl completion zsh)
_octaviactl() {
  local at='' prev="\${words[CURRENT - 1]}" i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    case "$at/\${words[i]}" in
    (${pathPattern(tree)}) at="$at/\${words[i]}" ;;
    esac
  done
  case "$at $prev" in
${values.map((line) => line.replace(/^ {4}/, '    (')).join('\n')}
  esac
  case "$at" in
${words.map((line) => line.replace(/^ {4}/, '    (')).join('\n')}
  esac
  _describe 'octaviactl' found
}
if [ "\${funcstack[1]}" = "_octaviactl" ]; then _octaviactl "$@"; else compdef _octaviactl octaviactl; fi
`;
}

function fishScript(tree: readonly CompletedCommand[]): string {
  const lines = tree.flatMap(({ path, words, options }) => {
    const when = `complete -c octaviactl -n ${quoted(`__octaviactl_at ${path || '/'}`)}`;
    return [
      ...words.map(({ word, description }) => `${when} -f -a ${quoted(word)} -d ${quoted(description)}`),
      ...options.map((option) => `${when} ${fishOption(option)}`),
    ];
  });
  return `# Completion of octaviactl for fish. Try it with: octaviactl completion fish | source
function __octaviactl_at
  set -l at ''
  for word in (commandline -opc)[2..-1]
    switch "$at/$word"
      case ${tree
        .map(({ path }) => path)
        .filter((path) => path !== '')
        .map(quoted)
        .join(' ')}
        set at "$at/$word"
    end
  end
  test "$at" = "$argv[1]"; or test "$at/" = "$argv[1]"
end
complete -c octaviactl -f
${lines.join('\n')}
`;
}

function fishOption({ names, description, takesValue, values }: CompletedOption): string {
  const long = names.find((name) => name.startsWith('--'))?.slice(2);
  const short = names.find((name) => !name.startsWith('--'))?.slice(1);
  const value = values.length > 0 ? `-x -a ${quoted(values.join(' '))}` : long === 'config' ? '-r -F' : '-x';
  return [
    ...(long ? [`-l ${long}`] : []),
    ...(short ? [`-s ${short}`] : []),
    ...(takesValue ? [value] : ['-f']),
    `-d ${quoted(description)}`,
  ].join(' ');
}
