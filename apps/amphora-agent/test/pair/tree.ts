import type { AmphoraFacts, Intent, LoadBalancerTree } from '@octavia/domain';

/** A load balancer with one HTTP listener on port 80, whose clients stay with their member. */
export function pairTree(id: string, vip: string, members: readonly { address: string; port: number }[]) {
  const intent = (own: string): Intent => ({
    id: own,
    projectId: 'project',
    author: 'tests',
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
  });
  const uuid = (kind: number, n: number) => `${kind}0000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
  const tree: LoadBalancerTree = {
    loadBalancer: {
      ...intent(id),
      description: '',
      provider: 'amphora',
      flavorId: null,
      availabilityZone: null,
      apolocationGroup: null,
      topology: 'ACTIVE_STANDBY',
      vip: { address: vip, subnetId: uuid(9, 1), networkId: null, portId: null },
      desiredRevision: 1,
    },
    listeners: [
      {
        ...intent(uuid(1, 1)),
        loadBalancerId: id,
        description: '',
        protocol: 'HTTP',
        protocolPort: 80,
        connectionLimit: 1000,
        defaultPoolId: uuid(2, 1),
        insertHeaders: {},
        timeoutClientData: 50_000,
        timeoutMemberConnect: 5_000,
        timeoutMemberData: 50_000,
        timeoutTcpInspect: 0,
      },
    ],
    pools: [
      {
        ...intent(uuid(2, 1)),
        loadBalancerId: id,
        description: '',
        protocol: 'HTTP',
        lbAlgorithm: 'ROUND_ROBIN',
        sessionPersistence: { type: 'SOURCE_IP', cookieName: null },
      },
    ],
    members: members.map(({ address, port }, index) => ({
      ...intent(uuid(3, index)),
      loadBalancerId: id,
      poolId: uuid(2, 1),
      address,
      protocolPort: port,
      weight: 1,
      backup: false,
      subnetId: null,
      monitorAddress: null,
      monitorPort: null,
    })),
    healthMonitors: [],
  };
  return tree;
}

/** What the controller keeps of the answers to `info` and `details`. */
export function factsOf(details: {
  haproxy_version: string;
  keepalived_version: string | null;
  platform: Record<string, string | boolean | null>;
}): AmphoraFacts {
  const { platform } = details;
  return {
    haproxyVersion: details.haproxy_version,
    keepalivedVersion: details.keepalived_version,
    apiVersion: '1.0',
    cpuCount: null,
    activeTunedProfiles: [],
    memory: null,
    platform: {
      basePath: String(platform.base_path),
      socketPath: String(platform.socket_path),
      user: platform.user === null ? null : String(platform.user),
      logSocket: null,
      exclusiveBind: platform.exclusive_bind === true,
      strictLimits: platform.strict_limits === true,
      fastVrrp: platform.fast_vrrp === true,
    },
  };
}
