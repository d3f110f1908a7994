import { describe, expect, it } from 'vitest';
import { spread } from './rhythm.ts';

const blow = (name: string, kind: 'pair' | 'single', times: number) => ({ name, kind, times });

describe('blows of several kinds', () => {
  it('are spread evenly over the whole time, each as often as it says', () => {
    const names = spread([blow('often', 'pair', 4), blow('seldom', 'pair', 2)], 'pair').map(({ name }) => name);
    expect(names).toEqual(['often', 'seldom', 'often', 'often', 'seldom', 'often']);
  });

  it('befall load balancers of their own kind alone', () => {
    const blows = [blow('one', 'pair', 3), blow('other', 'single', 1)];
    expect(spread(blows, 'single').map(({ name }) => name)).toEqual(['other']);
    expect(spread(blows, 'pair')).toHaveLength(3);
  });
});
