import { type AgentConfig, mergeMutable, readConfig } from '../config.ts';
import { AgentStartError, messageOf, RequestError } from '../errors.ts';
import { replaceFile } from '../files.ts';
import type { Route } from '../http/router.ts';
import { checkServerCertificate } from '../http/server.ts';
import { formatIni, type Ini, IniError, parseIni } from '../ini.ts';

const MAX_FILE_BYTES = 64 * 1024;

export interface AgentFiles {
  readonly config: AgentConfig;
  readonly configFile: string;
  readonly ini: Ini;
  /** Makes new connections use the new certificate. */
  certificateChanged(): void;
  /** Takes the values that may change while the agent runs. */
  configChanged(config: AgentConfig): void;
}

/** The agent's own certificate and configuration. */
export function agentRoutes(files: AgentFiles): Route[] {
  let { ini } = files;
  return [
    {
      method: 'PUT',
      path: '/1.0/certificate',
      maxBodyBytes: MAX_FILE_BYTES,
      handle({ body }) {
        try {
          checkServerCertificate(body.toString('utf8'));
        } catch (error) {
          // A broken file would lock the controller out for good.
          const details = `The body must be a certificate and its key in PEM: ${messageOf(error)}`;
          throw new RequestError(400, 'Invalid request', details, { cause: error });
        }
        replaceFile(files.config.serverCertificateFile, body);
        files.certificateChanged();
        return { status: 202, body: { message: 'OK' } };
      },
    },
    {
      method: 'PUT',
      path: '/1.0/config',
      maxBodyBytes: MAX_FILE_BYTES,
      handle({ body }) {
        const merged = mergeMutable(ini, parse(body, files.config.amphoraId));
        const config = read(merged);
        replaceFile(files.configFile, formatIni(merged));
        ini = merged;
        files.configChanged(config);
        return { status: 202, body: { message: 'OK' } };
      },
    },
  ];
}

/** Only the mutable keys are taken over: with other paths or addresses this agent could not start again. */
function parse(body: Buffer, amphoraId: string): Ini {
  try {
    const ini = parseIni(body.toString('utf8'));
    const id = ini.get('amphora_agent')?.get('amphora_id');
    if (id !== undefined && id.toLowerCase() !== amphoraId)
      throw new RequestError(400, 'Invalid request', `The configuration is of amphora ${id}, this is ${amphoraId}`);
    return ini;
  } catch (error) {
    if (error instanceof IniError) throw new RequestError(400, 'Invalid request', error.message, { cause: error });
    throw error;
  }
}

function read(ini: Ini): AgentConfig {
  try {
    return readConfig(ini);
  } catch (error) {
    if (error instanceof AgentStartError)
      throw new RequestError(400, 'Invalid request', error.message, { cause: error });
    throw error;
  }
}
