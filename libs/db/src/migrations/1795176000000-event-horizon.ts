import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Adds up to where events were purged, so that a reader who was away too long is told. The release before this one ignores it. */
export class EventHorizon1795176000000 implements MigrationInterface {
  static readonly needs = 'Initial1795132800000';
  name = 'EventHorizon1795176000000';

  up = async (db: QueryRunner): Promise<void> => {
    await db.query(`
      CREATE TABLE event_horizon (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        -- Place of the newest event that was purged, in the order of index event_cursor. A restore, which makes all rows anew, is a
        -- horizon too: cursors of the time before it mean nothing any more.
        xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
        id bigint NOT NULL
      );
      INSERT INTO event_horizon (xact, id) VALUES ('0', 0);
      -- Flows that went wrong, for the operators' overview.
      CREATE INDEX flow_failed ON flow (finished_at) WHERE state = 'FAILED';`);
  };

  down = async (db: QueryRunner): Promise<void> => {
    await db.query('DROP INDEX flow_failed; DROP TABLE event_horizon');
  };
}
