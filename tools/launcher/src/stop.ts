import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Home, homeAt, homePath } from './home.ts';
import { type Installation, knownInstallation } from './installation.ts';
import { closeNetworks } from './networks.ts';
import { endAll, processesOf, waitUntilGone } from './processes.ts';
import { runningLauncher } from './run-file.ts';

/** An agent stops its HAProxy in well under a second. */
const AMPHORA_LIMIT_MS = 5_000;
/** Five services drain one after the other, then the amphorae, then PostgreSQL. */
const LAUNCHER_LIMIT_MS = 120_000;
const SERVICE_LIMIT_MS = 10_000;

/** Stops the amphorae of this installation that still run. */
export async function stopAmphorae(home: Home, say: (line: string) => void): Promise<void> {
  const processes = await processesOf(home.amphorae);
  if (processes.length === 0) return;
  // Agents first: each stops its own HAProxy, and nothing restarts it.
  const agents = processes.filter(({ command }) => command.includes('--amphora-id'));
  await endAll(agents, AMPHORA_LIMIT_MS);
  await endAll(await processesOf(home.amphorae), AMPHORA_LIMIT_MS);
  say(`amphorae: ${agents.length} stopped`);
}

/** Ends services whose launcher was killed: they notice by themselves, but one that hangs or drains would be in the way of the next. */
export async function endLeftOverServices(home: Home, say: (line: string) => void): Promise<number> {
  const services = (await processesOf(home.path)).filter(
    ({ command }) => command.includes('--data-folder ') && !command.includes('--amphora-id'),
  );
  if (services.length === 0) return 0;
  say(`services: ${services.length} left over from before, ending them`);
  await endAll(services, SERVICE_LIMIT_MS);
  return services.length;
}

/** Removes the folder of sockets, unless an amphora that could not be stopped uses it. */
export async function removeRuntimeFolder(home: Home, { runtimeFolder }: Installation): Promise<void> {
  if ((await processesOf(home.amphorae)).length > 0) return;
  await rm(runtimeFolder, { recursive: true, force: true });
}

/** Stops the controller of the data folder, however it was started, or what is left of it. */
export async function stopController(say: (line: string) => void): Promise<void> {
  const home = homeAt(homePath(), false);
  const launcher = await runningLauncher(home.path);
  if (launcher) {
    process.kill(launcher.pid, 'SIGTERM');
    process.kill(launcher.pid, 'SIGCONT');
    if (!(await waitUntilGone([launcher], LAUNCHER_LIMIT_MS))) {
      throw new Error(
        `The launcher (pid ${launcher.pid}) does not end. kill -9 ${launcher.pid}, then npm stop again, ends it.`,
      );
    }
  }
  const services = await endLeftOverServices(home, say);
  await stopAmphorae(home, say);
  const postgres = await leftOverPostgres(home);
  if (postgres !== null) {
    process.kill(postgres, 'SIGINT');
    await endAll(await processesOf(home.postgres), SERVICE_LIMIT_MS);
  }
  const installation = await knownInstallation(home);
  if (installation) {
    await removeRuntimeFolder(home, installation);
    await closeNetworks(home, installation);
  }
  say(
    launcher
      ? 'stopped'
      : `nothing ran on ${home.path}${services + (postgres ? 1 : 0) > 0 ? ' but left-overs, which are stopped now' : ''}`,
  );
}

async function leftOverPostgres(home: Home): Promise<number | null> {
  const text = await readFile(join(home.postgres, 'data', 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number(text.split('\n')[0]);
  const processes = await processesOf(home.postgres);
  return processes.some((candidate) => candidate.pid === pid) ? pid : null;
}
