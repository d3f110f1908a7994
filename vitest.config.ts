import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

// `import` must stay out of the conditions: TypeORM then does not find its PostgreSQL driver.
const conditions = ['@octavia/source', 'module', 'node', 'development|production'];

// Projects that use the database get a server for their run.
const { name, dependencies = {} } = JSON.parse(readFileSync('package.json', 'utf8'));
const needsDatabase = name === '@octavia/db' || '@octavia/db' in dependencies;

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: needsDatabase ? [`${import.meta.dirname}/libs/db/src/testing/global-setup.ts`] : [],
    reporters: ['default', 'json'],
    outputFile: { json: 'test-results/vitest.json' },
    passWithNoTests: true,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
