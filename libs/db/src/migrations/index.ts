import { Initial1795132800000 } from './1795132800000-initial.ts';
import { EventHorizon1795176000000 } from './1795176000000-event-horizon.ts';

/** All migrations, oldest first. Never edited once released: add one. */
export const migrations = [Initial1795132800000, EventHorizon1795176000000];
