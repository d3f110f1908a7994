/** Part of the first schema: what is heard of amphorae. */
export const HEALTH = `
CREATE TABLE operating_status (
  object_id uuid PRIMARY KEY,
  load_balancer_id uuid NOT NULL REFERENCES load_balancer (id) ON DELETE CASCADE,
  object_kind text NOT NULL,
  status text NOT NULL CHECK (status IN ('ONLINE', 'OFFLINE', 'DEGRADED', 'ERROR', 'NO_MONITOR', 'DRAINING')),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX operating_status_load_balancer ON operating_status (load_balancer_id);

-- Which health process owns which shards. A range per owner.
CREATE TABLE shard_owner (
  first integer PRIMARY KEY CHECK (first BETWEEN 0 AND 4095),
  last integer NOT NULL CHECK (last BETWEEN first AND 4095),
  -- host:port of the owner's gRPC server.
  owner text,
  epoch bigint NOT NULL DEFAULT 0,
  lease_expires_at timestamptz
);
INSERT INTO shard_owner (first, last) VALUES (0, 4095);

-- Slot of an amphora in its page of a thousand. The generation guards a reused slot against a late batch.
CREATE TABLE liveness_slot (
  amphora_id uuid PRIMARY KEY,
  shard integer NOT NULL CHECK (shard BETWEEN 0 AND 4095),
  page integer NOT NULL,
  slot integer NOT NULL CHECK (slot BETWEEN 0 AND 999),
  generation integer NOT NULL DEFAULT 1,
  UNIQUE (page, slot)
);
CREATE INDEX liveness_slot_shard ON liveness_slot (shard);

-- When each amphora of the page was last heard: entry of a slot is milliseconds before written_at, -1 for never.
CREATE TABLE liveness_page (
  page integer PRIMARY KEY,
  format smallint NOT NULL DEFAULT 1,
  epoch bigint NOT NULL,
  written_at timestamptz NOT NULL,
  ages_ms integer[] NOT NULL,
  generations integer[] NOT NULL
);

CREATE TABLE listener_statistics (
  listener_id uuid NOT NULL,
  amphora_id uuid NOT NULL,
  load_balancer_id uuid NOT NULL,
  bytes_in bigint NOT NULL CHECK (bytes_in >= 0),
  bytes_out bigint NOT NULL CHECK (bytes_out >= 0),
  total_connections bigint NOT NULL CHECK (total_connections >= 0),
  request_errors bigint NOT NULL CHECK (request_errors >= 0),
  active_connections bigint NOT NULL CHECK (active_connections >= 0),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (listener_id, amphora_id)
);
CREATE INDEX listener_statistics_load_balancer ON listener_statistics (load_balancer_id);
CREATE INDEX listener_statistics_age ON listener_statistics (updated_at);

-- Last batch of counters taken from each sender, written with them, so that a repeated batch does not count twice.
CREATE TABLE statistics_batch (
  sender_id uuid NOT NULL,
  owner text NOT NULL,
  number bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (sender_id, owner)
);
`;

/** Part of the first schema: what happened. */
export const RECORDS = `
-- What happened, for watchers and operators. Readers stay below pg_snapshot_xmin: sequences become visible out of order.
CREATE TABLE event (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
  format smallint NOT NULL DEFAULT 1,
  load_balancer_id uuid,
  -- From 1 within the load balancer, given under its row lock.
  number bigint,
  project_id text NOT NULL,
  author text NOT NULL,
  request_id text NOT NULL,
  -- Such as provisioning_status_changed.
  kind text NOT NULL,
  object_kind text NOT NULL,
  object_id uuid NOT NULL,
  payload jsonb NOT NULL,
  traceparent text,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_cursor ON event (xact, id);
CREATE INDEX event_load_balancer ON event (load_balancer_id, id);
CREATE INDEX event_age ON event (created_at);
`;
