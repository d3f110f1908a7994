export * from './agent-configs.ts';
export * from './certificates.ts';
export * from './duties.ts';
export * from './leftovers.ts';
export * from './orphans.ts';
export * from './purges.ts';
export * from './spares.ts';
