export { numbers } from './numbers.ts';
export * from './pki.ts';
export * from './spans.ts';
