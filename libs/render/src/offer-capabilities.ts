/** Octavia's keys of flavor_data, and ours: `colocation_limit`. */
export type FlavorKey =
  | 'loadbalancer_topology'
  | 'compute_flavor'
  | 'amp_image_tag'
  | 'colocation_limit'
  | 'sriov_vip'
  | 'allow_member_sriov';
/** Octavia's keys of availability_zone_data. */
export type AvailabilityZoneKey = 'compute_zone' | 'volume_zone' | 'management_network' | 'valid_vip_networks';

/** A key that a profile may have. */
export interface OfferCapability<Key extends string> {
  readonly name: Key;
  /** For people: what its value means. */
  readonly description: string;
  /** False: Octavia knows it, and no driver of this release does it, so a profile that has it is refused. */
  readonly isServed: boolean;
}

/** What a flavor can say to the amphora provider. Source: the amphora provider of Octavia. */
export const FLAVOR_CAPABILITIES: readonly OfferCapability<FlavorKey>[] = [
  {
    name: 'loadbalancer_topology',
    description: 'How many amphorae a load balancer has: SINGLE (one) or ACTIVE_STANDBY (a VRRP pair).',
    isServed: true,
  },
  {
    name: 'compute_flavor',
    description: 'The compute flavor of its amphorae, as the compute service names it.',
    isServed: true,
  },
  { name: 'amp_image_tag', description: 'The tag of the image of its amphorae.', isServed: true },
  {
    name: 'colocation_limit',
    description:
      'How many load balancers of a project may be on one amphora at most, from 1 (each has amphorae of its own) to 64. ' +
      'Load balancers of ACTIVE_STANDBY have amphorae of their own, whatever it says.',
    isServed: true,
  },
  { name: 'sriov_vip', description: 'Whether the port of the VIP is an SR-IOV function.', isServed: false },
  { name: 'allow_member_sriov', description: 'Whether members may be reached through SR-IOV ports.', isServed: false },
];

/** What an availability zone can say to the amphora provider. Source: the amphora provider of Octavia. */
export const AVAILABILITY_ZONE_CAPABILITIES: readonly OfferCapability<AvailabilityZoneKey>[] = [
  {
    name: 'compute_zone',
    description: 'The zone of the compute service that its amphorae are built in.',
    isServed: true,
  },
  {
    name: 'valid_vip_networks',
    description: 'Ids of the networks that VIPs of the zone may be in, as a list. Absent: any.',
    isServed: true,
  },
  {
    name: 'management_network',
    description: 'Id of the network that its amphorae are managed through.',
    isServed: false,
  },
  {
    name: 'volume_zone',
    description: 'The zone of the volume service for the volumes of its amphorae.',
    isServed: false,
  },
];
