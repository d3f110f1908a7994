import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Caller } from '@octavia/domain';
import {
  AmphoraServiceClient,
  EventServiceClient,
  HealthMonitorServiceClient,
  ListenerServiceClient,
  LoadBalancerServiceClient,
  MemberServiceClient,
  PoolServiceClient,
  SystemServiceClient,
} from '@octavia/proto';
import { rpcClient } from '@octavia/service';

/** All of them over one connection: their names differ. */
const methods = {
  ...SystemServiceClient.service,
  ...LoadBalancerServiceClient.service,
  ...ListenerServiceClient.service,
  ...PoolServiceClient.service,
  ...MemberServiceClient.service,
  ...HealthMonitorServiceClient.service,
  ...AmphoraServiceClient.service,
  ...EventServiceClient.service,
};

/** The public API of a running controller, called as its administrator. */
export type Api = Awaited<ReturnType<typeof openApi>>;

/**
 * Opens the API by the connection file that `npm start` writes. Nothing is called yet.
 * @throws Error when there is no such file, or its certificates cannot be read
 */
export async function openApi(home: string) {
  const path = join(home, 'octaviactl.json');
  const file = JSON.parse(await readFile(path, 'utf8'));
  const at = (name: string): string => resolve(dirname(path), file[name]);
  const tls = { caFile: at('ca_file'), certFile: at('cert_file'), keyFile: at('key_file') };
  const caller: Partial<Caller> = { projectId: file.project_id, userId: file.user_id, roles: file.roles };
  const client = rpcClient({ service: methods }, file.address, tls);
  return Object.assign(client, {
    /** Options of each call: who calls. */
    as: { caller },
  });
}
