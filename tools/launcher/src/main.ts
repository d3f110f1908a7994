import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { backUpController, restoreController } from './backup.ts';
import { homePath, openHome } from './home.ts';
import { MODES, type Mode } from './installation.ts';
import { MachineNotReady } from './machine.ts';
import { prepare } from './prepare.ts';
import { startController } from './start.ts';
import { stopController } from './stop.ts';

const NEXT = `
The controller runs. Try, in another terminal:

  npx octaviactl status
  npx octaviactl loadbalancer create --name web --wait

README.md goes on from there. Stop with Ctrl-C or npm stop.
`;

/** Words from a detached launcher to the one that waits for it. */
type Message = { readonly line: string } | { readonly ready: true } | { readonly failed: string };

const say = (line: string): void => {
  process.stdout.write(`${new Date().toTimeString().slice(0, 8)}  ${line}\n`);
  if (process.connected) process.send?.({ line } satisfies Message);
};

/** Starts in the foreground, or as the child that `--detach` made, and ends with a signal. */
async function start(mode: Mode | null): Promise<void> {
  // A full disk, or a terminal that is gone, loses lines, never the controller.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const stopAsked = new Promise<NodeJS.Signals>((done) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, done);
  });
  // A signal while things start is kept: what was started by then is stopped in order. A second one ends us at once.
  void stopAsked.then(() => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
  });
  const controller = await startController(say, mode);
  if (process.connected) {
    process.send?.({ ready: true } satisfies Message);
    process.disconnect();
  } else {
    process.stdout.write(NEXT);
  }
  say(`${await stopAsked}: stopping`);
  await controller.stop();
  say('stopped');
}

/** Starts a launcher of its own session, shows its lines until all services serve, and leaves it running. */
async function startDetached(mode: Mode | null): Promise<void> {
  const { logs } = await openHome(homePath());
  const log = openSync(join(logs, 'launcher.log'), 'a', 0o600);
  const child = spawn(
    process.execPath,
    [...process.execArgv, import.meta.filename, 'start', ...(mode ? ['--mode', mode] : [])],
    {
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
    },
  );
  await new Promise<void>((done, fail) => {
    child.on('message', (message: Message) => {
      if ('line' in message) process.stdout.write(`${message.line}\n`);
      else if ('ready' in message) done();
      else fail(new Error(message.failed));
    });
    child.once('exit', (code) =>
      fail(new Error(`The launcher ended with exit code ${code}. Its log is ${logs}/launcher.log.`)),
    );
  });
  child.disconnect();
  child.unref();
  process.stdout.write(NEXT.replace('Ctrl-C or npm stop', 'npm stop'));
}

function fail(error: unknown): never {
  const text = error instanceof Error ? error.message : String(error);
  if (process.connected) process.send?.({ failed: text } satisfies Message);
  process.stderr.write(`${text}\n`);
  process.exit(error instanceof MachineNotReady ? 69 : 1);
}

const program = new Command('octavia-controller').description('Runs the Octavia controller on this machine.');
program
  .command('start')
  .description('check the machine, install what is missing, start PostgreSQL and all services')
  .option('--detach', 'return as soon as all services serve; npm stop ends them')
  .addOption(
    new Option(
      '--mode <mode>',
      'what amphorae are: processes on loopback addresses (default), or network namespaces, which need root and can be pairs; the data folder keeps it',
    )
      .choices(MODES)
      .env('LOCAL_MODE'),
  )
  .action(async ({ detach, mode = null }: { detach?: boolean; mode?: Mode | null }) => {
    await (detach ? startDetached(mode) : start(mode));
    process.exit(0);
  });
program
  .command('stop')
  .description('stop everything of this data folder, amphorae too')
  .action(async () => {
    await stopController(say);
  });
program
  .command('prepare')
  .description('make certificates and keys in the data folder, and bring the database of DATABASE_URL_FILE up to date')
  .action(async () => {
    await prepare(process.env, say);
  });
program
  .command('backup')
  .description('write the whole database into a file, also while the services run')
  .argument('<file>')
  .action(async (file: string) => {
    await backUpController(resolve(file), say);
    process.exit(0);
  });
program
  .command('restore')
  .description('replace the database by a backup of this installation; the services must be stopped')
  .argument('<file>')
  .action(async (file: string) => {
    await restoreController(resolve(file), say);
    process.exit(0);
  });
program.parseAsync().catch(fail);
