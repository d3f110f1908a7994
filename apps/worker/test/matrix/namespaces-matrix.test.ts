import { mayMakeNamespaces } from '@octavia/drivers/testing';
import { describe } from 'vitest';
import { describeMatrix } from './describe-matrix.ts';

/** Pairs with keepalived, which takes root, and too long for every day. */
describe.runIf(process.env.MATRIX === 'full' && mayMakeNamespaces())('pairs on this machine', () =>
  describeMatrix('namespaces'),
);
