export * from './pki.ts';
export * from './spans.ts';
