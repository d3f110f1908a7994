/** How the objects of @octavia/domain lie in their tables. The repositories read the mapping from here, too. */
import type {
  Fault,
  HealthMonitor,
  Intent,
  Listener,
  LoadBalancer,
  Member,
  Placement,
  Pool,
  SessionPersistence,
  Vip,
} from '@octavia/domain';
import type { EntitySchemaColumnOptions } from 'typeorm';
// This file alone: the whole of TypeORM, which only migrations need, takes 25 MiB of each service.
import { EntitySchema } from 'typeorm/entity-schema/EntitySchema.js';

type Columns<T> = { [field in keyof T]?: EntitySchemaColumnOptions };

const text = (name: string, nullable = false): EntitySchemaColumnOptions => ({ name, type: 'text', nullable });
const integer = (name: string, nullable = false): EntitySchemaColumnOptions => ({ name, type: 'integer', nullable });
const uuid = (name: string, nullable = false): EntitySchemaColumnOptions => ({ name, type: 'uuid', nullable });
const inet = (name: string, nullable = false): EntitySchemaColumnOptions => ({ name, type: 'inet', nullable });
const boolean = (name: string): EntitySchemaColumnOptions => ({ name, type: 'boolean' });

// Where all columns of an embedded object are NULL, `Table.read` gives null and TypeORM's own finders an object of nulls: read
// through the repositories. Prefixes are written out, because TypeORM would join them in camel case.
const faultSchema = new EntitySchema<Fault>({
  name: 'Fault',
  columns: { reason: text('fault_reason', true), message: text('fault_message', true) },
});
const vipSchema = new EntitySchema<Vip>({
  name: 'Vip',
  columns: {
    address: inet('vip_address', true),
    subnetId: uuid('vip_subnet_id'),
    networkId: uuid('vip_network_id', true),
    portId: uuid('vip_port_id', true),
  },
});
const placementSchema = new EntitySchema<Placement>({
  name: 'Placement',
  columns: {
    computeFlavor: text('placement_compute_flavor', true),
    imageTag: text('placement_image_tag', true),
    zone: text('placement_zone', true),
    colocationLimit: integer('placement_colocation_limit', true),
  },
});
const sessionPersistenceSchema = new EntitySchema<SessionPersistence>({
  name: 'SessionPersistence',
  columns: {
    type: text('session_persistence_type', true),
    cookieName: text('session_persistence_cookie_name', true),
  },
});

const intentColumns: Columns<Intent> = {
  id: { type: 'uuid', primary: true },
  projectId: text('project_id'),
  author: text('author'),
  requestId: text('request_id'),
  name: text('name'),
  adminStateUp: boolean('admin_state_up'),
  tags: { name: 'tags', type: 'text', array: true },
  provisioningStatus: text('provisioning_status'),
  revision: integer('revision'),
  appliedRevision: integer('applied_revision'),
  createdAt: { name: 'created_at', type: 'timestamptz', createDate: true },
  updatedAt: { name: 'updated_at', type: 'timestamptz', nullable: true },
};
const fault = { fault: { schema: faultSchema, prefix: '' } };

export const loadBalancerSchema = new EntitySchema<LoadBalancer>({
  name: 'LoadBalancer',
  tableName: 'load_balancer',
  columns: {
    ...intentColumns,
    description: text('description'),
    provider: text('provider'),
    flavorId: uuid('flavor_id', true),
    availabilityZone: text('availability_zone', true),
    topology: text('topology'),
    apolocationGroup: text('apolocation_group', true),
    desiredRevision: integer('desired_revision'),
  },
  embeddeds: { ...fault, vip: { schema: vipSchema, prefix: '' }, placement: { schema: placementSchema, prefix: '' } },
});

export const listenerSchema = new EntitySchema<Listener>({
  name: 'Listener',
  tableName: 'listener',
  columns: {
    ...intentColumns,
    loadBalancerId: uuid('load_balancer_id'),
    description: text('description'),
    protocol: text('protocol'),
    protocolPort: integer('protocol_port'),
    connectionLimit: integer('connection_limit'),
    defaultPoolId: uuid('default_pool_id', true),
    insertHeaders: { name: 'insert_headers', type: 'jsonb' },
    timeoutClientData: integer('timeout_client_data'),
    timeoutMemberConnect: integer('timeout_member_connect'),
    timeoutMemberData: integer('timeout_member_data'),
    timeoutTcpInspect: integer('timeout_tcp_inspect'),
  },
  embeddeds: fault,
});

export const poolSchema = new EntitySchema<Pool>({
  name: 'Pool',
  tableName: 'pool',
  columns: {
    ...intentColumns,
    loadBalancerId: uuid('load_balancer_id'),
    description: text('description'),
    protocol: text('protocol'),
    lbAlgorithm: text('lb_algorithm'),
  },
  embeddeds: { ...fault, sessionPersistence: { schema: sessionPersistenceSchema, prefix: '' } },
});

export const memberSchema = new EntitySchema<Member>({
  name: 'Member',
  tableName: 'member',
  columns: {
    ...intentColumns,
    loadBalancerId: uuid('load_balancer_id'),
    poolId: uuid('pool_id'),
    address: inet('address'),
    protocolPort: integer('protocol_port'),
    weight: integer('weight'),
    backup: boolean('backup'),
    subnetId: uuid('subnet_id', true),
    monitorAddress: inet('monitor_address', true),
    monitorPort: integer('monitor_port', true),
  },
  embeddeds: fault,
});

export const healthMonitorSchema = new EntitySchema<HealthMonitor>({
  name: 'HealthMonitor',
  tableName: 'health_monitor',
  columns: {
    ...intentColumns,
    loadBalancerId: uuid('load_balancer_id'),
    poolId: uuid('pool_id'),
    type: text('type'),
    delay: integer('delay'),
    timeout: integer('timeout'),
    maxRetries: integer('max_retries'),
    maxRetriesDown: integer('max_retries_down'),
    httpMethod: text('http_method'),
    urlPath: text('url_path'),
    expectedCodes: text('expected_codes'),
    httpVersion: text('http_version', true),
    domainName: text('domain_name', true),
  },
  embeddeds: fault,
});
