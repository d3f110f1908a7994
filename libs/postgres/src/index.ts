/** A real PostgreSQL server from npm, started and stopped by us: for `npm start` and for tests. */
export { type PostgresOptions, type PostgresServer, startPostgres } from './server.ts';
