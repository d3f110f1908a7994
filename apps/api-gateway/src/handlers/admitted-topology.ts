import { Deployments, type Tx } from '@octavia/db';
import { InvalidRequest, type Topology, Unavailable, UnsupportedByProvider } from '@octavia/domain';

/** Who may say how many amphorae a load balancer has; null: says nothing. */
export interface TopologySources {
  readonly request: Topology | null;
  readonly flavor: Topology | null;
  readonly deployment: Topology;
}

const deployments = new Deployments();

/**
 * Returns the topology of a new load balancer.
 * @throws InvalidRequest when request and flavor differ, UnsupportedByProvider when the drivers cannot carry it, Unavailable while
 * nobody knows whether they can
 */
export async function admittedTopology(tx: Tx, { request, flavor, deployment }: TopologySources): Promise<Topology> {
  if (request !== null && flavor !== null && request !== flavor) {
    const description = `must be ${flavor} or left out: the flavor says so`;
    throw new InvalidRequest([{ field: 'load_balancer.topology', reason: 'TOPOLOGY_OF_FLAVOR', description }]);
  }
  const topology = request ?? flavor ?? deployment;
  // Every driver carries single amphorae.
  if (topology === 'SINGLE') return topology;
  const told = await deployments.get(tx);
  if (told?.topologies.includes(topology)) return topology;
  if (told)
    throw new UnsupportedByProvider('load_balancer.topology', topology, told.reachesLoopback ? LOOPBACK : undefined);
  throw new Unavailable(
    'DEPLOYMENT_UNKNOWN',
    'No worker has told yet whether its drivers carry pairs of amphorae. Try again when one runs.',
  );
}

/** Where amphorae are processes on loopback addresses: VRRP needs a network. */
const LOOPBACK =
  'In loopback mode a load balancer has one amphora. For pairs, start with `npm start -- --mode namespaces`.';
