import { join } from 'node:path';
import type { FileContent } from '../compute-driver.ts';
import { localAgentConfig } from './agent-config.ts';
import type { InstanceRecord } from './instance-record.ts';
import { AGENT_CONFIG_PATH, type InstancePaths, type LocalComputeOptions } from './options.ts';

/** Where the config-drive files of an instance are on this machine, with their contents; the agent's configuration is made true here. */
export function configDrive(
  files: Readonly<Record<string, FileContent>>,
  { address, agentPort }: Pick<InstanceRecord, 'address' | 'agentPort'>,
  paths: InstancePaths,
  options: LocalComputeOptions,
): (readonly [path: string, content: FileContent])[] {
  return Object.entries(files).map(([path, content]) => {
    const isAgentConfig = path === AGENT_CONFIG_PATH;
    return [join(paths.folder, path), isAgentConfig ? agentConfig(Buffer.from(content).toString()) : content];
  });

  function agentConfig(content: string): string {
    return localAgentConfig(content, {
      folder: paths.folder,
      bindHost: address,
      bindPort: agentPort,
      haproxyCmd: options.haproxyCmd,
      controller: {
        socket_path: paths.sockets,
        exclusive_bind: 'True', // Amphorae share the host's addresses, so a second bind has to fail.
        ...(options.namespaces ? { own_network: 'True' } : {}),
        strict_limits: 'False', // A plain user has the limits of the machine, whatever `maxconn` says.
        ...options.agentSettings,
      },
    });
  }
}
