import type { MigrationInterface, QueryRunner } from 'typeorm';
import { HEALTH, RECORDS } from './initial-health.ts';
import { OFFERS } from './initial-offers.ts';

/** The first schema. Every id is a UUID version 7 made by us; every time is the database's. */
export class Initial1795132800000 implements MigrationInterface {
  name = 'Initial1795132800000';

  up = async (db: QueryRunner): Promise<void> => {
    for (const statements of [INSTALLATION, OFFERS, INTENT, AMPHORAE, FLOWS, HEALTH, RECORDS])
      await db.query(statements);
  };

  down = async (): Promise<void> => {
    throw new Error('The first migration has no way back: drop the database instead.');
  };
}

const INSTALLATION = `
-- Oldest migration that a program must know to run on this schema. Newer ones that it does not know only add something.
CREATE TABLE schema_floor (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  migration text NOT NULL
);
CREATE TABLE installation (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- What the drivers of this deployment can do. The worker tells it at its start, and the gateway admits by it. No row: no worker
-- has started yet.
CREATE TABLE deployment (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- Topologies that load balancers can have.
  topologies text[] NOT NULL CHECK (topologies <@ '{SINGLE,ACTIVE_STANDBY}'),
  -- Whether amphorae reach members on loopback addresses.
  reaches_loopback boolean NOT NULL,
  -- Where amphorae reach servers of the machine that they run on. Null: it is none of ours, or loopback serves.
  host_address inet,
  updated_at timestamptz NOT NULL DEFAULT now()
);
`;

/** Columns of every object that a caller asks for. */
const INTENT_COLUMNS = `
  id uuid PRIMARY KEY,
  project_id text NOT NULL CHECK (length(project_id) BETWEEN 1 AND 36),
  author text NOT NULL,
  request_id text NOT NULL,
  name text NOT NULL CHECK (length(name) <= 255),
  admin_state_up boolean NOT NULL,
  tags text[] NOT NULL DEFAULT '{}',
  provisioning_status text NOT NULL
    CHECK (provisioning_status IN ('ACTIVE', 'PENDING_CREATE', 'PENDING_UPDATE', 'PENDING_DELETE', 'DELETED', 'ERROR')),
  fault_reason text,
  fault_message text,
  revision integer NOT NULL CHECK (revision >= 1),
  applied_revision integer NOT NULL DEFAULT 0 CHECK (applied_revision >= 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz,
  CHECK ((fault_reason IS NULL) = (fault_message IS NULL))
`;

const INTENT = `
CREATE TABLE subnet (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  network_id uuid NOT NULL,
  cidr cidr NOT NULL,
  gateway inet,
  -- Addresses from first to last, both included, are given to VIPs.
  first_address inet NOT NULL,
  last_address inet NOT NULL,
  is_default boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK (first_address <= last_address)
);
CREATE UNIQUE INDEX subnet_one_default ON subnet (is_default) WHERE is_default;

CREATE TABLE load_balancer (
  ${INTENT_COLUMNS},
  description text NOT NULL DEFAULT '' CHECK (length(description) <= 255),
  provider text NOT NULL DEFAULT 'amphora',
  -- What a live load balancer uses is not deleted: only DELETED ones lose the reference.
  flavor_id uuid REFERENCES flavor (id) ON DELETE SET NULL,
  availability_zone text REFERENCES availability_zone (name) ON DELETE SET NULL,
  topology text NOT NULL CHECK (topology IN ('SINGLE', 'ACTIVE_STANDBY')),
  -- What flavor and zone said when it was made. Null: the deployment's default.
  placement_compute_flavor text,
  placement_image_tag text,
  placement_zone text,
  placement_colocation_limit integer CHECK (placement_colocation_limit BETWEEN 1 AND 64),
  -- Those of one project with the same group never share an amphora. Null: of no group.
  apolocation_group text CHECK (length(apolocation_group) BETWEEN 1 AND 64),
  vip_address inet,
  vip_subnet_id uuid NOT NULL,
  vip_network_id uuid,
  vip_port_id uuid,
  desired_revision integer NOT NULL CHECK (desired_revision >= 1),
  -- Number of its newest event. Here, and not found by max(): events are purged, and numbers never start again.
  last_event bigint NOT NULL DEFAULT 0,
  -- When it became DELETED: expunged some days later.
  deleted_at timestamptz
);
CREATE INDEX load_balancer_project ON load_balancer (project_id, id) WHERE deleted_at IS NULL;
CREATE INDEX load_balancer_live ON load_balancer (id) WHERE deleted_at IS NULL;
CREATE INDEX load_balancer_name ON load_balancer (name) WHERE deleted_at IS NULL;
CREATE INDEX load_balancer_flavor ON load_balancer (flavor_id) WHERE flavor_id IS NOT NULL;
CREATE INDEX load_balancer_availability_zone ON load_balancer (availability_zone) WHERE availability_zone IS NOT NULL;
CREATE INDEX load_balancer_apolocation_group ON load_balancer (project_id, apolocation_group)
  WHERE apolocation_group IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX load_balancer_deleted ON load_balancer (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX load_balancer_pending ON load_balancer (id) WHERE provisioning_status LIKE 'PENDING%';

CREATE TABLE pool (
  ${INTENT_COLUMNS},
  load_balancer_id uuid NOT NULL REFERENCES load_balancer (id) ON DELETE CASCADE,
  description text NOT NULL DEFAULT '' CHECK (length(description) <= 255),
  protocol text NOT NULL,
  lb_algorithm text NOT NULL,
  session_persistence_type text,
  session_persistence_cookie_name text
);
CREATE INDEX pool_load_balancer ON pool (load_balancer_id, id);
CREATE INDEX pool_project ON pool (project_id, id);
CREATE INDEX pool_name ON pool (name);

CREATE TABLE listener (
  ${INTENT_COLUMNS},
  load_balancer_id uuid NOT NULL REFERENCES load_balancer (id) ON DELETE CASCADE,
  description text NOT NULL DEFAULT '' CHECK (length(description) <= 255),
  protocol text NOT NULL,
  protocol_port integer NOT NULL CHECK (protocol_port BETWEEN 1 AND 65535),
  l4_protocol text NOT NULL GENERATED ALWAYS AS
    (CASE WHEN protocol IN ('UDP', 'SCTP') THEN protocol ELSE 'TCP' END) STORED,
  connection_limit integer NOT NULL DEFAULT -1,
  default_pool_id uuid REFERENCES pool (id) ON DELETE SET NULL,
  insert_headers jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(insert_headers) = 'object'),
  timeout_client_data integer NOT NULL,
  timeout_member_connect integer NOT NULL,
  timeout_member_data integer NOT NULL,
  timeout_tcp_inspect integer NOT NULL
);
CREATE UNIQUE INDEX listener_port ON listener (load_balancer_id, l4_protocol, protocol_port)
  WHERE provisioning_status <> 'PENDING_DELETE';
CREATE INDEX listener_load_balancer ON listener (load_balancer_id, id);
CREATE INDEX listener_project ON listener (project_id, id);
CREATE INDEX listener_name ON listener (name);
CREATE INDEX listener_default_pool ON listener (default_pool_id) WHERE default_pool_id IS NOT NULL;

CREATE TABLE member (
  ${INTENT_COLUMNS},
  load_balancer_id uuid NOT NULL REFERENCES load_balancer (id) ON DELETE CASCADE,
  pool_id uuid NOT NULL REFERENCES pool (id) ON DELETE CASCADE,
  address inet NOT NULL,
  protocol_port integer NOT NULL CHECK (protocol_port BETWEEN 1 AND 65535),
  weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 0 AND 256),
  backup boolean NOT NULL DEFAULT false,
  subnet_id uuid,
  monitor_address inet,
  monitor_port integer CHECK (monitor_port BETWEEN 1 AND 65535)
);
CREATE UNIQUE INDEX member_endpoint ON member (pool_id, address, protocol_port)
  WHERE provisioning_status <> 'PENDING_DELETE';
CREATE INDEX member_pool ON member (pool_id, id);
CREATE INDEX member_load_balancer ON member (load_balancer_id, id);
CREATE INDEX member_project ON member (project_id, id);
CREATE INDEX member_name ON member (name);

CREATE TABLE health_monitor (
  ${INTENT_COLUMNS},
  load_balancer_id uuid NOT NULL REFERENCES load_balancer (id) ON DELETE CASCADE,
  pool_id uuid NOT NULL REFERENCES pool (id) ON DELETE CASCADE,
  type text NOT NULL,
  delay integer NOT NULL CHECK (delay >= 1),
  timeout integer NOT NULL CHECK (timeout >= 1),
  max_retries integer NOT NULL CHECK (max_retries BETWEEN 1 AND 10),
  max_retries_down integer NOT NULL CHECK (max_retries_down BETWEEN 1 AND 10),
  http_method text NOT NULL,
  url_path text NOT NULL,
  expected_codes text NOT NULL,
  http_version text CHECK (http_version IN ('1.0', '1.1')),
  domain_name text
);
CREATE UNIQUE INDEX health_monitor_pool ON health_monitor (pool_id) WHERE provisioning_status <> 'PENDING_DELETE';
CREATE INDEX health_monitor_pool_all ON health_monitor (pool_id);
CREATE INDEX health_monitor_load_balancer ON health_monitor (load_balancer_id, id);
CREATE INDEX health_monitor_project ON health_monitor (project_id, id);
CREATE INDEX health_monitor_name ON health_monitor (name);

-- Every change that a caller made, in order within its load balancer; never updated.
CREATE TABLE revision (
  load_balancer_id uuid NOT NULL REFERENCES load_balancer (id) ON DELETE CASCADE,
  number integer NOT NULL,
  format smallint NOT NULL DEFAULT 1,
  author text NOT NULL,
  request_id text NOT NULL,
  object_kind text NOT NULL,
  object_id uuid NOT NULL,
  -- CREATE, UPDATE, DELETE or FAILOVER.
  action text NOT NULL,
  -- Field to [old, new]; old is absent on CREATE.
  changes jsonb NOT NULL,
  traceparent text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (load_balancer_id, number)
);
CREATE INDEX revision_age ON revision (created_at);

-- Addresses given to VIPs. No row: free and never used.
CREATE TABLE vip_address (
  subnet_id uuid NOT NULL REFERENCES subnet (id) ON DELETE CASCADE,
  address inet NOT NULL,
  -- Null: it rests until free_at. Checked at commit: the address is given before the load balancer's row is written with it.
  load_balancer_id uuid REFERENCES load_balancer (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
  free_at timestamptz,
  PRIMARY KEY (subnet_id, address),
  CHECK (load_balancer_id IS NULL OR free_at IS NULL)
);
CREATE UNIQUE INDEX vip_address_load_balancer ON vip_address (load_balancer_id) WHERE load_balancer_id IS NOT NULL;

-- Null limit: the deployment's default. Limit -1: none.
CREATE TABLE quota (
  project_id text NOT NULL,
  resource text NOT NULL CHECK (resource IN ('load_balancer', 'listener', 'pool', 'member', 'health_monitor')),
  max integer,
  in_use integer NOT NULL DEFAULT 0 CHECK (in_use >= 0),
  PRIMARY KEY (project_id, resource)
);

-- The first answer to a request id; written first of all in its transaction.
CREATE TABLE idempotency_record (
  project_id text NOT NULL,
  request_id text NOT NULL,
  method text NOT NULL,
  -- SHA-256 of the serialised request.
  request_hash bytea NOT NULL,
  -- Id of the object that the call made or changed; null until then.
  object_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project_id, request_id)
);
CREATE INDEX idempotency_record_age ON idempotency_record (created_at);
`;

const AMPHORAE = `
CREATE TABLE amphora (
  id uuid PRIMARY KEY,
  -- Of a spare the one that housekeeping builds for; else that of all load balancers on it.
  project_id text NOT NULL,
  author text NOT NULL,
  request_id text NOT NULL,
  status text NOT NULL
    CHECK (status IN ('BOOTING', 'READY', 'ALLOCATED', 'PENDING_DELETE', 'DELETED', 'ERROR', 'PRESERVED')),
  compute_flavor text NOT NULL DEFAULT '',
  image_tag text NOT NULL DEFAULT '',
  zone text NOT NULL DEFAULT '',
  topology text NOT NULL CHECK (topology IN ('SINGLE', 'ACTIVE_STANDBY')),
  compute_driver text NOT NULL,
  compute_id text,
  compute_host text,
  image_id text,
  lb_network_ip inet,
  agent_port integer NOT NULL DEFAULT 9443,
  facts_format smallint NOT NULL DEFAULT 1,
  facts jsonb,
  cert_expires_at timestamptz,
  -- Digest of what its agent was told of controllers and heartbeats. Null: of a release that did not note it.
  agent_settings text,
  -- Load balancers on it, at most and now.
  seat_limit integer NOT NULL DEFAULT 1 CHECK (seat_limit >= 1),
  seats_taken integer NOT NULL DEFAULT 0 CHECK (seats_taken BETWEEN 0 AND seat_limit),
  -- From when on it gets no further load balancer: it is about to be isolated.
  closed_at timestamptz,
  fault_reason text,
  fault_message text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz,
  deleted_at timestamptz,
  CHECK ((fault_reason IS NULL) = (fault_message IS NULL))
);
CREATE INDEX amphora_spare ON amphora (compute_flavor, image_tag, zone, id) WHERE status = 'READY';
CREATE INDEX amphora_status ON amphora (status, id) WHERE deleted_at IS NULL;
CREATE INDEX amphora_deleted ON amphora (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX amphora_cert_expiry ON amphora (cert_expires_at) WHERE deleted_at IS NULL;
CREATE INDEX amphora_with_room ON amphora (project_id, id)
  WHERE status = 'ALLOCATED' AND seats_taken < seat_limit AND closed_at IS NULL AND fault_reason IS NULL;

-- Which load balancers an amphora serves, or served.
CREATE TABLE seat (
  amphora_id uuid NOT NULL REFERENCES amphora (id) ON DELETE CASCADE,
  load_balancer_id uuid NOT NULL REFERENCES load_balancer (id) ON DELETE CASCADE,
  state text NOT NULL DEFAULT 'TAKEN' CHECK (state IN ('TAKEN', 'LEAVING', 'LEFT')),
  role text NOT NULL CHECK (role IN ('STANDALONE', 'MASTER', 'BACKUP')),
  vrrp_ip inet,
  ha_ip inet,
  vrrp_port_id uuid,
  -- Name of the interface that has vrrp_ip, in the amphora.
  vrrp_interface text,
  applied_revision integer NOT NULL DEFAULT 0,
  -- Why its load balancer was given this one.
  origin text CHECK (origin IN ('SPARE', 'NEW', 'COLOCATED')),
  choice_reason text,
  -- That of the load balancer: two of one group are never on one amphora.
  apolocation_group text,
  fault_reason text,
  fault_message text,
  PRIMARY KEY (amphora_id, load_balancer_id),
  CHECK ((origin IS NULL) = (choice_reason IS NULL)),
  CHECK ((fault_reason IS NULL) = (fault_message IS NULL))
);
CREATE INDEX seat_load_balancer ON seat (load_balancer_id);
CREATE INDEX seat_leaving ON seat (amphora_id) WHERE state = 'LEAVING';
CREATE UNIQUE INDEX seat_apolocation ON seat (amphora_id, apolocation_group)
  WHERE state <> 'LEFT' AND apolocation_group IS NOT NULL;

-- What agents should be told, by its digest: the settings of the worker that was started last.
CREATE TABLE agent_settings (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  digest text NOT NULL,
  set_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- That a person has made sure that an amphora is isolated, where we cannot. Void when the amphora is heard after it.
CREATE TABLE fence_confirmation (
  amphora_id uuid PRIMARY KEY REFERENCES amphora (id) ON DELETE CASCADE,
  author text NOT NULL,
  request_id text NOT NULL,
  confirmed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What we made outside, written before it is made.
CREATE TABLE external_resource (
  -- Such as instance, port, address.
  kind text NOT NULL,
  -- Derived from our ids, so that a second try finds it.
  name text NOT NULL,
  driver text NOT NULL,
  amphora_id uuid,
  load_balancer_id uuid,
  flow_id uuid,
  state text NOT NULL CHECK (state IN ('CREATING', 'PRESENT', 'DELETING')),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz,
  PRIMARY KEY (kind, name)
);
CREATE INDEX external_resource_amphora ON external_resource (amphora_id);

-- What the newest search for orphans found, for the gauges.
CREATE TABLE orphan_count (
  kind text PRIMARY KEY,
  count integer NOT NULL,
  found_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Envelope: the payload is encrypted (AES-256-GCM) with a key of its own, which is wrapped with the key named key_id.
CREATE TABLE secret (
  id uuid PRIMARY KEY,
  -- Such as amphora_certificate.
  kind text NOT NULL,
  owner_id uuid NOT NULL,
  key_id text NOT NULL,
  wrapped_key bytea NOT NULL,
  payload bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (kind, owner_id)
);
`;

const FLOWS = `
-- Whose turn it is. A row per load balancer (or amphora without one), made with its first flow, locked for each decision.
CREATE TABLE turn (
  key uuid PRIMARY KEY,
  -- The flow that runs. Null: free.
  holder uuid,
  -- The flow that has done something it may have to undo: nothing else of this key runs before it ends.
  half_done uuid
);

-- Queue, log and the operators' view in one.
CREATE TABLE flow (
  id uuid PRIMARY KEY,
  format smallint NOT NULL DEFAULT 1,
  name text NOT NULL,
  version integer NOT NULL,
  state text NOT NULL DEFAULT 'QUEUED' CHECK (state IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  priority integer NOT NULL,
  turn_key uuid NOT NULL REFERENCES turn (key),
  load_balancer_id uuid,
  amphora_id uuid,
  project_id text NOT NULL,
  author text NOT NULL,
  request_id text NOT NULL,
  input jsonb NOT NULL,
  -- DO, or UNDO once it turned back.
  direction text NOT NULL DEFAULT 'DO' CHECK (direction IN ('DO', 'UNDO')),
  -- Step that runs, or is to be tried again, and its tries so far.
  step text,
  attempt integer NOT NULL DEFAULT 0,
  waiting_for text,
  last_error jsonb,
  run_at timestamptz NOT NULL,
  deadline_at timestamptz NOT NULL,
  -- Why it shall stop: FAILOVER, DELETE, CANCELLED. Null: it need not.
  stop_requested text,
  epoch integer NOT NULL DEFAULT 0,
  lease_owner text,
  lease_expires_at timestamptz,
  traceparent text,
  tracestate text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at timestamptz,
  finished_at timestamptz,
  CHECK ((state = 'RUNNING') = (lease_owner IS NOT NULL)),
  CHECK ((state = 'RUNNING') = (lease_expires_at IS NOT NULL)),
  CHECK ((state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (finished_at IS NOT NULL))
);
CREATE INDEX flow_queue ON flow (priority, run_at, id) WHERE state = 'QUEUED';
CREATE INDEX flow_lease ON flow (lease_expires_at) WHERE state = 'RUNNING';
CREATE INDEX flow_turn ON flow (turn_key) WHERE state IN ('QUEUED', 'RUNNING');
CREATE INDEX flow_load_balancer ON flow (load_balancer_id, id);
CREATE INDEX flow_amphora ON flow (amphora_id, id);
-- How the newest builds and failovers went.
CREATE INDEX flow_build ON flow (finished_at) WHERE name = 'amphora.create' AND finished_at IS NOT NULL;
CREATE INDEX flow_finished ON flow (finished_at) WHERE finished_at IS NOT NULL;
-- Backstops: the claim never lets these fail.
CREATE UNIQUE INDEX flow_one_running ON flow (turn_key) WHERE state = 'RUNNING';
CREATE UNIQUE INDEX flow_one_push_queued ON flow (load_balancer_id)
  WHERE state = 'QUEUED' AND name = 'load_balancer.update';
CREATE UNIQUE INDEX flow_one_failover ON flow (amphora_id, load_balancer_id)
  WHERE state IN ('QUEUED', 'RUNNING') AND name = 'amphora.failover';

CREATE TABLE flow_step (
  flow_id uuid NOT NULL REFERENCES flow (id) ON DELETE CASCADE,
  position integer NOT NULL,
  format smallint NOT NULL DEFAULT 1,
  name text NOT NULL,
  -- STARTED: done in part, perhaps. DONE: the output is saved. UNDONE.
  state text NOT NULL CHECK (state IN ('STARTED', 'DONE', 'UNDONE')),
  output jsonb,
  attempts integer NOT NULL DEFAULT 1,
  last_error jsonb,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  PRIMARY KEY (flow_id, position)
);

-- Who builds amphorae, and who waits to. The lease is the flow's own: a row counts while its flow is alive.
CREATE TABLE build_slot (
  flow_id uuid PRIMARY KEY REFERENCES flow (id) ON DELETE CASCADE,
  -- Builds at once: two of a pair.
  slots integer NOT NULL CHECK (slots >= 1),
  -- The flow's: lower goes first.
  priority integer NOT NULL,
  state text NOT NULL CHECK (state IN ('WAITING', 'BUILDING')),
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Recurring duties, each taken by one process at a time with one UPDATE.
CREATE TABLE duty (
  name text PRIMARY KEY,
  next_at timestamptz NOT NULL DEFAULT now(),
  owner text,
  lease_expires_at timestamptz,
  last_run_at timestamptz,
  last_error text
);
`;
