import { describe } from 'vitest';
import { describeMatrix } from './describe-matrix.ts';

/** Amphorae are processes here, which takes too long for every day. */
describe.runIf(process.env.MATRIX === 'full')('amphorae on this machine', () => describeMatrix('local'));
