/** Names of attributes on spans and logs. OpenTelemetry's where they exist; ours begin with `octavia.`. */
export const ATTR = {
  LOAD_BALANCER_ID: 'octavia.load_balancer.id',
  LISTENER_ID: 'octavia.listener.id',
  POOL_ID: 'octavia.pool.id',
  MEMBER_ID: 'octavia.member.id',
  HEALTH_MONITOR_ID: 'octavia.health_monitor.id',
  AMPHORA_ID: 'octavia.amphora.id',
  AMPHORA_STATUS: 'octavia.amphora.status',
  FLOW_ID: 'octavia.flow.id',
  FLOW_NAME: 'octavia.flow.name',
  FLOW_STATE: 'octavia.flow.state',
  FLOW_ATTEMPT: 'octavia.flow.attempt',
  FLOW_EPOCH: 'octavia.flow.epoch',
  STEP_NAME: 'octavia.step.name',
  /** Number of a load balancer's revision. */
  REVISION: 'octavia.revision',
  /** Changes that a search for refused ones looked at. */
  PUSH_CHANGES: 'octavia.push.changes',
  /** Configurations that it asked about. */
  PUSH_CHECKS: 'octavia.push.checks',
  /** passed or refused. */
  PUSH_CHECK_OUTCOME: 'octavia.push.check.outcome',
  DRIVER_KIND: 'octavia.driver.kind',
  DRIVER_NAME: 'octavia.driver.name',
  DRIVER_METHOD: 'octavia.driver.method',
  /** State of a circuit breaker: closed, half-open or open. */
  BREAKER_STATE: 'octavia.driver.breaker.state',
  /** used or waiting. */
  BUILD_SLOT_STATE: 'octavia.build.slot.state',
  /** Whose certificate: service, authority or amphora. */
  CERTIFICATE_KIND: 'octavia.certificate.kind',
  /** alive, silent or never_heard. */
  LIVENESS: 'octavia.amphora.liveness',
  /** Such as instance or vip. */
  ORPHAN_KIND: 'octavia.orphan.kind',
  TABLE: 'octavia.table',
  HEARTBEAT_OUTCOME: 'octavia.heartbeat.outcome',
  SHARD: 'octavia.shard',
  HOST_ID: 'octavia.host.id',
  PROJECT_ID: 'octavia.project.id',
  USER_ID: 'octavia.user.id',
  REQUEST_ID: 'octavia.request.id',
  /** Common name of the client's certificate. */
  CLIENT: 'octavia.client',
  /** Stable reason of a failure, such as ETAG_MISMATCH. */
  REASON: 'octavia.reason',
  INSTALLATION_ID: 'octavia.installation.id',
  ERROR_TYPE: 'error.type',
  RPC_SYSTEM: 'rpc.system.name',
  RPC_SERVICE: 'rpc.service',
  RPC_METHOD: 'rpc.method',
  RPC_STATUS: 'rpc.response.status_code',
  SERVER_ADDRESS: 'server.address',
  SERVER_PORT: 'server.port',
  /** user or system. */
  CPU_MODE: 'cpu.mode',
} as const;

/** Names of metrics. Units are in the comment, and in the instrument. */
export const METRIC = {
  /** Histogram, s. */
  RPC_SERVER_DURATION: 'rpc.server.call.duration',
  /** Histogram, s. */
  RPC_CLIENT_DURATION: 'rpc.client.call.duration',
  /** Histogram, s. From the request to the settled status. */
  FLOW_DURATION: 'octavia.flow.duration',
  /** Histogram, s. From its time to its start. */
  FLOW_WAIT: 'octavia.flow.wait',
  /** Counter, {try}, by flow: `settle` threw. Above 0 there is a bug. */
  SETTLE_FAILURES: 'octavia.flow.settle_failures',
  /** Histogram, s. */
  STEP_DURATION: 'octavia.step.duration',
  /** Counter, {check}, by outcome. Configurations that amphorae were asked about to find refused changes. */
  PUSH_CHECKS: 'octavia.push.checks',
  /** Counter, {change}, by reason. Changes that the data plane refused. */
  PUSH_REFUSED: 'octavia.push.refused',
  /** Gauge, {flow}, by state. */
  FLOW_COUNT: 'octavia.flow.count',
  /** Gauge, s, by flow and state. Since the oldest open one was asked for; 0: there is none. */
  FLOW_AGE: 'octavia.flow.age',
  /** Histogram, s. */
  DRIVER_CALL_DURATION: 'octavia.driver.call.duration',
  /** Gauge, {endpoint}, by driver and state of the circuit breaker. */
  BREAKER_COUNT: 'octavia.driver.breaker.count',
  /** Gauge, {slot}, by state: used by builds, or wanted by those that wait. */
  BUILD_SLOT_COUNT: 'octavia.build.slot.count',
  /** Gauge, {slot}. How many builds there may be at once; absent: no limit. */
  BUILD_SLOT_LIMIT: 'octavia.build.slot.limit',
  /** Counter, {packet}, by outcome. */
  HEARTBEAT_PACKETS: 'octavia.heartbeat.packets',
  /** Counter, {batch}. */
  HEARTBEAT_BATCHES: 'octavia.heartbeat.batches',
  /** Histogram, s. One search for silent amphorae. */
  HEALTH_SCAN_DURATION: 'octavia.health.scan.duration',
  /** Gauge, {amphora}, by liveness: alive, silent, never_heard. */
  AMPHORA_LIVENESS: 'octavia.amphora.liveness',
  /** Counter, {row}, by table: what housekeeping removed for its age. */
  HOUSEKEEPING_PURGED: 'octavia.housekeeping.purged',
  /** Counter, {load_balancer}: pending without a flow, so set going again. Above 0 there is a bug. */
  HOUSEKEEPING_RESETTLED: 'octavia.housekeeping.resettled',
  /** Gauge, {amphora}. Amphorae whose heartbeats wait for an owner. */
  HEARTBEAT_WAITING: 'octavia.heartbeat.waiting',
  /** Gauge, {amphora}, by status. */
  AMPHORA_COUNT: 'octavia.amphora.count',
  /** Gauge, {orphan}, by kind: what the newest search found. */
  ORPHAN_COUNT: 'octavia.orphan.count',
  /** Gauge, {amphora}. */
  SPARE_COUNT: 'octavia.spare.count',
  /** Gauge, {amphora}. How many there should be. */
  SPARE_WANTED: 'octavia.spare.wanted',
  /** Counter, {failover}. */
  FAILOVERS: 'octavia.failover.started',
  /** Gauge, {amphora}. Silent, and not replaced before somebody confirms that they are isolated. */
  FAILOVERS_UNCONFIRMED: 'octavia.failover.unconfirmed',
  /** Gauge, s, by kind. Time until the certificate that runs out first does; below 0 it has. */
  CERTIFICATE_REMAINING: 'octavia.certificate.remaining',
  /** Gauge, By. Memory of the process that is in RAM. */
  PROCESS_MEMORY: 'process.memory.usage',
  /** Counter, s, by mode. */
  PROCESS_CPU: 'process.cpu.time',
  /** Gauge, s. */
  PROCESS_UPTIME: 'process.uptime',
  /** Gauge, s. How late timers were, 99th percentile since the last look. */
  EVENT_LOOP_DELAY_P99: 'nodejs.eventloop.delay.p99',
  /** Gauge, 1. Share of the time since the last look in which the event loop was busy. */
  EVENT_LOOP_UTILIZATION: 'nodejs.eventloop.utilization',
} as const;
