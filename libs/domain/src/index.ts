export * from './amphora.ts';
export * from './change.ts';
export * from './errors.ts';
export * from './flow.ts';
export * from './identity.ts';
export * from './objects.ts';
export * from './shard.ts';
export * from './status.ts';
