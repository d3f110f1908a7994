export * from './amphora/amphora-driver.ts';
export type * from './call-context.ts';
export * from './certificates/certificates-driver.ts';
export * from './compute/compute-driver.ts';
export * from './errors.ts';
export * from './network/network-driver.ts';
