import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { NamespacePlan } from '@octavia/drivers';
import { openDatabase, type RunningDatabase } from './database.ts';
import { type Home, homeAt, homePath, type Owner, openHome, writeWhole } from './home.ts';
import {
  checkPorts,
  type Installation,
  knownInstallation,
  type Mode,
  openInstallation,
  openSecrets,
} from './installation.ts';
import { prepareMachine } from './machine.ts';
import { closeNetworks, openNetworks } from './networks.ts';
import { ensureCertificate, openAuthority } from './pki.ts';
import { claimHome, leaveHome } from './run-file.ts';
import { CLIENT_NAMES, type Plan, SERVICE_NAMES, type ServiceName, servicesOf, UNPRIVILEGED_USER } from './services.ts';
import { endLeftOverServices, removeRuntimeFolder, stopAmphorae } from './stop.ts';
import { Supervisor } from './supervisor.ts';

/** Certificates are looked at this often while we run; they have a third of a year left when they are replaced. */
const CERTIFICATE_CHECK_MS = 86_400_000;

export interface RunningController {
  readonly home: Home;
  /** Stops everything in order, amphorae too. */
  stop(): Promise<void>;
}

/**
 * Starts everything, from the bare machine to five services that are SERVING. `say` gets one line per event.
 * @param wantedMode null: as the installation was started before
 */
export async function startController(
  say: (line: string) => void,
  wantedMode: Mode | null = null,
): Promise<RunningController> {
  const startedAt = performance.now();
  const known = await knownInstallation(homeAt(homePath(), false));
  say(`machine: ${await prepareMachine(wantedMode ?? known?.mode ?? 'loopback', say)}`);
  const home = await openHome(homePath());
  await claimHome(home.path);
  const undo: (() => Promise<void>)[] = [() => leaveHome(home.path)];
  try {
    const installation = await openInstallation(home, wantedMode);
    const { mode } = installation;
    say(`data folder: ${home.path}${home.isNew ? ' (new)' : ''}, installation ${installation.id}, ${mode} mode`);
    await endLeftOverServices(home, say);
    await checkPorts(home, installation);
    await openRuntimeFolder(installation);
    undo.push(() => removeRuntimeFolder(home, installation));
    const secrets = await openSecrets(home);
    const database = await openDatabase(home, installation, secrets, process.env, say);
    undo.push(() => database.stop());
    say(`database: ${database.description}, ${describeMigrations(database)}`);

    const networks = await openNetworks(home, installation, say);
    undo.push(() => closeNetworks(home, installation));
    const plan = await planServices(home, installation, secrets, database.urlFile, networks);
    const renewal = setInterval(
      () => void issueCertificates(home).catch((error) => say(String(error))),
      CERTIFICATE_CHECK_MS,
    );
    undo.push(async () => clearInterval(renewal));
    undo.push(() => stopAmphorae(home, say));
    await startServices(plan, home, say, undo);
    await writeConnection(plan);
    say(`ready in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    return { home, stop: () => undoAll(undo) };
  } catch (error) {
    await undoAll(undo).catch(() => {});
    throw error;
  }
}

async function undoAll(undo: (() => Promise<void>)[]): Promise<void> {
  let first: unknown;
  for (const step of undo.splice(0).reverse()) {
    await step().catch((error) => {
      first ??= error;
    });
  }
  if (first) throw first;
}

/** All start at once; each is told when it serves. They stop one by one, in reverse. */
async function startServices(
  plan: Plan,
  home: Home,
  say: (line: string) => void,
  undo: (() => Promise<void>)[],
): Promise<void> {
  const tls = { caFile: plan.servicesCa.certificateFile, ...(await clientFiles(home)) };
  const supervisors = servicesOf(plan).map((service) => new Supervisor(service, home.path, home.logs, tls, say));
  for (const supervisor of supervisors) undo.push(() => supervisor.stop());
  await Promise.all(
    supervisors.map(async (supervisor) => {
      const startedAt = performance.now();
      await supervisor.start();
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      say(`${supervisor.service.name}: SERVING on ${supervisor.service.address} after ${seconds} s`);
    }),
  );
  for (const supervisor of supervisors) supervisor.tell();
}

async function clientFiles(home: Home): Promise<{ certificateFile: string; keyFile: string }> {
  return { certificateFile: join(home.pki, 'octaviactl.pem'), keyFile: join(home.pki, 'octaviactl.key') };
}

async function planServices(
  home: Home,
  installation: Installation,
  secrets: Plan['secrets'],
  databaseUrlFile: string,
  networks: NamespacePlan | null,
): Promise<Plan> {
  const issued = await issueCertificates(home);
  return { home, installation, secrets, databaseUrlFile, networks, ...issued, env: process.env };
}

/** Makes the authorities and certificates that are missing, and replaces those that run out soon. */
export async function issueCertificates(
  home: Home,
): Promise<Pick<Plan, 'servicesCa' | 'amphoraeCa' | 'certificates' | 'agentClient'>> {
  const servicesCa = await openAuthority(home.pki, 'services-ca');
  const amphoraeCa = await openAuthority(home.pki, 'amphorae-ca');
  const unprivileged = await unprivilegedUser();
  const certificates: Partial<Plan['certificates']> = {};
  for (const name of SERVICE_NAMES) {
    // Services that drop root read their files again when certificates are renewed.
    const owner = name === 'worker' ? undefined : unprivileged;
    (certificates as Record<string, unknown>)[name] = await ensureCertificate(servicesCa, home.pki, name, { owner });
  }
  for (const name of CLIENT_NAMES) await ensureCertificate(servicesCa, home.pki, name);
  const agentClient = await ensureCertificate(amphoraeCa, home.pki, 'amphora-client');
  return { servicesCa, amphoraeCa, certificates: certificates as Record<ServiceName, never>, agentClient };
}

/** Who services become that drop root; undefined unless we are root. */
async function unprivilegedUser(): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const passwd = await readFile('/etc/passwd', 'utf8');
  const line = passwd.split('\n').find((one) => one.startsWith(`${UNPRIVILEGED_USER}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}

async function openRuntimeFolder({ runtimeFolder }: Installation): Promise<void> {
  await mkdir(runtimeFolder, { recursive: true, mode: 0o700 });
  const found = await stat(runtimeFolder);
  if (found.uid !== process.getuid?.()) {
    throw new Error(
      `${runtimeFolder}, for the sockets of amphorae, belongs to another user (uid ${found.uid}). Remove it.`,
    );
  }
}

async function writeConnection({ home, installation, servicesCa }: Plan): Promise<void> {
  const client = await clientFiles(home);
  const connection = {
    address: `127.0.0.1:${installation.ports.apiGateway}`,
    ca_file: servicesCa.certificateFile,
    cert_file: client.certificateFile,
    key_file: client.keyFile,
    project_id: 'demo',
    user_id: 'operator',
    roles: ['admin'],
  };
  await writeWhole(join(home.path, 'octaviactl.json'), `${JSON.stringify(connection, null, 2)}\n`);
}

function describeMigrations({ applied }: RunningDatabase): string {
  return applied.length === 0 ? 'schema up to date' : `schema migrated (${applied.length} applied)`;
}
