import type { AmphoraRole, SeatedAmphora } from '@octavia/domain';
import { describe, expect, it } from 'vitest';
import { replacementOrder } from './note-holders.ts';
import { hasStayers, inRound, type RoundsState, roundOf } from './rounds.ts';

const amphora = (id: string, role: AmphoraRole | null, status: SeatedAmphora['status'] = 'ALLOCATED') =>
  ({ id, role, status }) as SeatedAmphora;
const state = (given: Partial<RoundsState>): RoundsState => ({
  loadBalancerId: 'lb',
  topology: 'ACTIVE_STANDBY',
  oldAmphoraIds: [],
  survivorIds: [],
  rounds: [],
  newAmphorae: [],
  ...given,
});
const ids = (all: readonly SeatedAmphora[]) => all.map(({ id }) => id);

describe('the parts of amphorae in a round', () => {
  it('lets a failover of one leave the other alone', () => {
    const given = state({
      oldAmphoraIds: ['m', 'b'],
      survivorIds: ['b'],
      rounds: [['MASTER']],
      newAmphorae: [{ id: 'm2', role: 'MASTER' }],
    });
    const all = [amphora('m', 'MASTER'), amphora('b', 'BACKUP'), amphora('m2', 'MASTER')];
    const { comers, stayers, leavers } = roundOf(given, 0, all);
    expect([ids(comers), ids(stayers), ids(leavers)]).toEqual([['m2'], ['b'], ['m']]);
    expect(hasStayers(0)(given)).toBe(true);
  });

  it('lets the old one of a later round, then the new one of an earlier round, stay', () => {
    const given = state({
      oldAmphoraIds: ['m', 'b', 'left over'],
      rounds: [['BACKUP'], ['MASTER']],
      newAmphorae: [
        { id: 'b2', role: 'BACKUP' },
        { id: 'm2', role: 'MASTER' },
      ],
    });
    const all = [
      amphora('m', 'MASTER'),
      amphora('b', 'BACKUP'),
      amphora('left over', 'MASTER', 'BOOTING'),
      amphora('b2', 'BACKUP'),
      amphora('m2', 'MASTER'),
    ];
    const first = roundOf(given, 0, all);
    expect([ids(first.comers), ids(first.stayers), ids(first.leavers)]).toEqual([['b2'], ['m'], ['b', 'left over']]);
    const second = roundOf(given, 1, all);
    expect([ids(second.comers), ids(second.stayers)]).toEqual([['m2'], ['b2']]);
    expect(ids(second.leavers)).toContain('m');
  });

  it('lets nobody stay where all come at once', () => {
    const given = state({
      rounds: [['MASTER', 'BACKUP']],
      newAmphorae: [
        { id: 'm', role: 'MASTER' },
        { id: 'b', role: 'BACKUP' },
      ],
    });
    expect(ids(roundOf(given, 0, [amphora('m', 'MASTER'), amphora('b', 'BACKUP')]).comers)).toEqual(['m', 'b']);
    expect(hasStayers(0)(given)).toBe(false);
  });

  it('numbers the steps of later rounds', () => {
    expect([inRound('plug_vip', 0), inRound('plug_vip', 1)]).toEqual(['plug_vip', 'plug_vip_2']);
  });
});

describe('the order of replacement', () => {
  const whole = [amphora('m', 'MASTER'), amphora('b', 'BACKUP')];
  it('is one after the other, BACKUP first, while both answer', () => {
    expect(replacementOrder('ACTIVE_STANDBY', whole, [])).toEqual([['BACKUP'], ['MASTER']]);
  });

  it('begins with the one that does not answer', () => {
    expect(replacementOrder('ACTIVE_STANDBY', whole, ['m'])).toEqual([['MASTER'], ['BACKUP']]);
    expect(replacementOrder('ACTIVE_STANDBY', whole, ['b'])).toEqual([['BACKUP'], ['MASTER']]);
  });

  it('begins with the one that is missing', () => {
    expect(replacementOrder('ACTIVE_STANDBY', whole.slice(1), [])).toEqual([['MASTER'], ['BACKUP']]);
  });

  it('is all at once where nobody serves, and for one alone', () => {
    expect(replacementOrder('ACTIVE_STANDBY', whole, ['m', 'b'])).toEqual([['MASTER', 'BACKUP']]);
    expect(replacementOrder('ACTIVE_STANDBY', [], [])).toEqual([['MASTER', 'BACKUP']]);
    expect(replacementOrder('SINGLE', [amphora('s', 'STANDALONE')], [])).toEqual([['STANDALONE']]);
  });
});
