/** The only SQL: schema, migrations, repositories. */
export { abandon } from './abandon.ts';
export * from './amphora/index.ts';
export * from './backup/index.ts';
export { Database, type DatabaseOptions, type Guard, type Tx } from './core/database.ts';
export { migrate, schemaVersion } from './core/migrate.ts';
export type { NotificationHandler, Notifications } from './core/notifications.ts';
export { DatabaseUnavailable, isDatabaseTrouble, namingDatabaseTrouble } from './core/trouble.ts';
export * from './duty/index.ts';
export * from './flow/index.ts';
export * from './health/index.ts';
export * from './intent/index.ts';
export { type Migration, migrations } from './migrations/index.ts';
export * from './offer/index.ts';
export {
  DEPENDS_ON_REFUSED,
  REFUSED_REASONS,
  type Refusal,
  type RefusedChange,
  Settlement,
} from './settlement/index.ts';
