/** The API gateway: checks what callers ask, records it with its flow in one transaction, answers. */
import { Database, Flows, namingDatabaseTrouble } from '@octavia/db';
import { LookupServiceClient } from '@octavia/proto';
import {
  exitWithError,
  GrpcServer,
  type Part,
  ProcessIdentity,
  rpcClient,
  runAs,
  runUntilSignal,
} from '@octavia/service';
import { canonicalAddress } from './check/address.ts';
import { readConfig } from './config.ts';
import { addGateway } from './gateway.ts';
import { Processes } from './processes.ts';

async function main(): Promise<void> {
  const { database, process: self, grpc, client, services, policy } = readConfig(process.env);
  const db = new Database({ ...database, applicationName: 'octavia api-gateway' });
  const lookup = rpcClient(LookupServiceClient, services.worker, client.tls);
  const processes = new Processes(client.tls);
  const clients: Part = {
    name: 'clients',
    start: async () => {},
    stop: async () => {
      lookup.close();
      processes.close();
    },
  };
  const server = addGateway(new GrpcServer({ ...grpc, nameError: namingDatabaseTrouble }), {
    db,
    flows: new Flows(),
    lookup,
    policy: {
      topology: policy.topology,
      reservedIps: new Set(policy.reservedIps.map((address) => canonicalAddress(address) ?? address)),
      defaultQuotas: policy.quotas,
      flowDeadlineMs: policy.flowDeadlineMs,
    },
    installation: {
      self: new ProcessIdentity('api-gateway', [grpc.tls]),
      address: grpc.bind,
      services: [
        { name: 'worker', address: services.worker },
        { name: 'health', address: services.health },
        { name: 'heartbeat-udp', address: services.heartbeatUdp },
        { name: 'housekeeping', address: services.housekeeping },
      ],
      processes,
      sparesWanted: policy.sparesWanted,
      heartbeatTimeoutMs: policy.heartbeatTimeoutMs,
    },
  });
  // It parses what callers send, so it gives root away.
  // Starts left to right; drains and stops right to left.
  await runUntilSignal([db, clients, server, runAs(self.runAs)], { settings: readConfig });
}

main().catch(exitWithError);
