export * from './failover-candidates.ts';
export * from './listener-statistics.ts';
export * from './liveness.ts';
export * from './operating-statuses.ts';
export * from './shard-owners.ts';
