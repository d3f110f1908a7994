import { Argument, type Command } from 'commander';
import { leaf } from '../grammar.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** `completion`. */
export function addCompletionCommand(program: Command): void {
  leaf(program, 'completion', 'Write the completion script of a shell', [
    'completion bash > ~/.local/share/bash-completion/completions/octaviactl',
    'completion zsh > ~/.zfunc/_octaviactl',
    'completion fish > ~/.config/fish/completions/octaviactl.fish',
  ])
    .addArgument(new Argument('<shell>', SHELLS.join(', ')).choices(SHELLS))
    .action(async (shell: Shell) => {
      const { completionScript } = await import('../completion/script.ts');
      process.stdout.write(completionScript(program, shell));
    });
}
