export * from './amphora.ts';
export * from './errors.ts';
export * from './flow.ts';
export * from './identity.ts';
export * from './objects.ts';
export * from './rendered.ts';
export * from './shard.ts';
export * from './status.ts';
