import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  ListenerServiceClient,
  LoadBalancerServiceClient,
  MemberServiceClient,
  PoolServiceClient,
} from '@octavia/proto';
import { rpcClient } from '@octavia/service';

/** Clients of the gateway of an installation, as the API tier would use them. */
export function openClients(home: string) {
  const file = JSON.parse(readFileSync(join(home, 'octaviactl.json'), 'utf8'));
  const tls = { certFile: file.cert_file, keyFile: file.key_file, caFile: file.ca_file };
  const clients = {
    loadBalancers: rpcClient(LoadBalancerServiceClient, file.address, tls),
    listeners: rpcClient(ListenerServiceClient, file.address, tls),
    pools: rpcClient(PoolServiceClient, file.address, tls),
    members: rpcClient(MemberServiceClient, file.address, tls),
  };
  return {
    ...clients,
    close() {
      for (const client of Object.values(clients)) client.close();
    },
  };
}

/** Whoever calls. */
export const AS = { caller: { projectId: 'demo', userId: 'tester', roles: ['admin'] } };
