import { join } from 'node:path';
import { openDatabase } from './database.ts';
import { homePath, openHome, writeWhole } from './home.ts';
import { openInstallation, openSecrets } from './installation.ts';
import { issueCertificates } from './start.ts';

/**
 * Makes what services need that somebody else starts, such as systemd: certificates and keys in the data folder, and the schema of the
 * database that DATABASE_URL_FILE names. Changes only what is missing or about to run out, so it may run before each start.
 * @throws Error that says what to do
 */
export async function prepare(env: NodeJS.ProcessEnv, say: (line: string) => void): Promise<void> {
  if (!env.DATABASE_URL_FILE) {
    throw new Error('DATABASE_URL_FILE is not set: name the file with the connection string of PostgreSQL.');
  }
  const home = await openHome(homePath(env));
  const installation = await openInstallation(home);
  const secrets = await openSecrets(home);
  await issueCertificates(home);
  // For EnvironmentFile= of systemd, or the shell of a container.
  await writeWhole(join(home.path, 'installation.env'), `INSTALLATION_ID=${installation.id}\n`);
  const database = await openDatabase(home, installation, secrets, env, say);
  await database.stop();
  say(`prepared ${home.path}: installation ${installation.id}, ${database.description}`);
}
