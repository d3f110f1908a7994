/** Load balancers as small as tests of rules need them. */
import type { Intent, Listener, LoadBalancer, LoadBalancerTree, Member, Pool } from '../src/index.ts';

export function intent(id: string, over: Partial<Intent> = {}): Intent {
  return {
    id,
    projectId: 'project',
    author: 'user',
    requestId: 'request',
    name: '',
    adminStateUp: true,
    tags: [],
    provisioningStatus: 'ACTIVE',
    fault: null,
    revision: 1,
    appliedRevision: 1,
    createdAt: new Date(0),
    updatedAt: null,
    ...over,
  };
}

export function listener(id: string, over: Partial<Listener> = {}): Listener {
  return {
    ...intent(id),
    loadBalancerId: 'lb',
    description: '',
    protocol: 'HTTP',
    protocolPort: 80,
    connectionLimit: -1,
    defaultPoolId: null,
    insertHeaders: {},
    timeoutClientData: 0,
    timeoutMemberConnect: 0,
    timeoutMemberData: 0,
    timeoutTcpInspect: 0,
    ...over,
  };
}

export function pool(id: string, over: Partial<Pool> = {}): Pool {
  return {
    ...intent(id),
    loadBalancerId: 'lb',
    description: '',
    protocol: 'HTTP',
    lbAlgorithm: 'ROUND_ROBIN',
    sessionPersistence: null,
    ...over,
  };
}

export function member(id: string, poolId: string, over: Partial<Member> = {}): Member {
  return {
    ...intent(id),
    loadBalancerId: 'lb',
    poolId,
    address: '10.0.0.1',
    protocolPort: 80,
    weight: 1,
    backup: false,
    subnetId: null,
    monitorAddress: null,
    monitorPort: null,
    ...over,
  };
}

export function tree(lb: Partial<LoadBalancer>, parts: Partial<LoadBalancerTree> = {}): LoadBalancerTree {
  return {
    loadBalancer: {
      ...intent('lb'),
      description: '',
      provider: 'amphora',
      flavorId: null,
      availabilityZone: null,
      apolocationGroup: null,
      topology: 'SINGLE',
      vip: { address: '10.0.0.5', subnetId: 'subnet', networkId: null, portId: null },
      desiredRevision: 1,
      ...lb,
    },
    listeners: [],
    pools: [],
    members: [],
    healthMonitors: [],
    ...parts,
  };
}
