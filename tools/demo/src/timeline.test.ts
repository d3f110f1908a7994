import { describe, expect, it } from 'vitest';
import { firstGoodAt, type Happening, isComplete, type Killing, timelineOf } from './timeline.ts';
import type { Answer } from './traffic.ts';

const killing: Killing = { at: 10_000, oldAmphoraId: 'old', newAmphoraId: 'new' };
const happening = (kind: string, objectId: string, at: number, payload = {}): Happening => ({
  kind,
  objectId,
  at,
  payload,
});
const happenings = [
  happening('configuration_pushed', 'new', 14_120),
  happening('vip_plugged', 'new', 14_050),
  happening('amphora_fenced', 'old', 14_020),
  happening('amphora_silent', 'old', 14_000, { last_heartbeat_age_ms: 4_300 }),
  // Of the time before: the old amphora was new once.
  happening('vip_plugged', 'old', 1_000),
  happening('configuration_pushed', 'old', 1_100),
];
const answer = (sentAt: number, by: string | null, doneAt = sentAt + 2): Answer => ({ sentAt, doneAt, by });
const answers = [
  answer(9_980, 'one'),
  answer(9_990, null, 9_995), // Before the killing: not its fault.
  answer(9_999, 'two', 10_001), // Was answered while the processes were being killed.
  answer(10_010, null),
  answer(12_000, null),
  answer(14_090, 'one', 14_110),
  answer(14_100, 'two', 14_105),
];

describe('the timeline of a failover', () => {
  it('puts together what the controller tells and what clients saw, in milliseconds since the killing', () => {
    expect(timelineOf(killing, happenings, answers)).toEqual({
      last_heartbeat_ms: -300,
      first_failed_request_ms: 10,
      declared_dead_ms: 4_000,
      fenced_ms: 4_020,
      vip_moved_ms: 4_050,
      configuration_pushed_ms: 4_120,
      first_good_request_ms: 4_105,
      requests_failed: 2,
      requests_ok: 4,
    });
  });

  it('is complete when every milestone of these two amphorae was told, after the killing', () => {
    expect(isComplete(killing, happenings)).toBe(true);
    expect(isComplete(killing, happenings.slice(1))).toBe(false);
    expect(isComplete({ ...killing, at: 14_010 }, happenings)).toBe(false);
  });

  it('knows no first good request before one failed, or before one was sent after that', () => {
    expect(firstGoodAt(killing.at, answers.slice(0, 3))).toBeUndefined();
    expect(firstGoodAt(killing.at, answers.slice(0, 5))).toBeUndefined();
    expect(firstGoodAt(killing.at, answers)).toBe(14_105);
  });

  it('says what was not told', () => {
    expect(() => timelineOf(killing, happenings.slice(0, 2), answers)).toThrow(/nothing of amphora_silent/);
    expect(() => timelineOf(killing, happenings, answers.slice(0, 2))).toThrow(/nothing was killed/);
  });
});
