// A file of its own, loaded when needed: the bundler gives a CommonJS library its named exports only when imported so.
export { stringify } from 'yaml';
