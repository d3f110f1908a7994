import type { Timeline } from './timeline.ts';
import type { Spread } from './traffic.ts';

/** Everything that was measured, for `--json`. Times are in milliseconds. */
export interface Figures {
  /** Null: the system was up before. */
  started_ms: number | null;
  create?: {
    readonly calls: number;
    readonly answered_ms: number;
    readonly active_ms: number;
    readonly first_good_request_ms: number;
  };
  spread?: Spread;
  member_stopped?: {
    readonly error_ms: number;
    readonly degraded_ms: number;
    readonly requests_meanwhile: { readonly ok: number; readonly failed: number };
    readonly spread: Spread;
  };
  member_back?: { readonly online_ms: number; readonly spread: Spread };
  failover?: { readonly processes_killed: number; readonly had_spare: boolean } & Timeline;
}
