/**
 * Gets Prometheus for the tests, unless it is there. Exit code 1 when root cannot; whoever is not root, or has no apt-get, is told that
 * its tests are left out.
 */
import { existsSync } from 'node:fs';
import { fetchPrometheus, findPrometheus } from './prometheus.ts';

if (!findPrometheus()) {
  const isExpected = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
  try {
    fetchPrometheus();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const advice = isExpected ? '' : ' Its tests are left out; apt-get install prometheus brings them back.';
    process.stderr.write(`Prometheus is not here and cannot be fetched.${advice}\n${why}\n`);
    if (isExpected) process.exitCode = 1;
  }
}
