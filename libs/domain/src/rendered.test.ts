import { describe, expect, it } from 'vitest';
import { listener, tree } from '../test/trees.ts';
import { isRendered, renderedListeners } from './rendered.ts';

const fault = (reason: string) => ({ reason, message: '' });

describe('what a configuration contains', () => {
  it('is everything but what is being deleted, was refused at its creation, or cannot be written', () => {
    const rendered = (over: object) =>
      isRendered({ provisioningStatus: 'ACTIVE', appliedRevision: 1, fault: null, ...over });
    expect(rendered({})).toBe(true);
    expect(rendered({ provisioningStatus: 'PENDING_CREATE', appliedRevision: 0 })).toBe(true);
    expect(rendered({ provisioningStatus: 'PENDING_UPDATE' })).toBe(true);
    expect(rendered({ provisioningStatus: 'ERROR', fault: fault('REFUSED') })).toBe(true);
    expect(rendered({ provisioningStatus: 'PENDING_DELETE' })).toBe(false);
    expect(rendered({ provisioningStatus: 'DELETED' })).toBe(false);
    expect(rendered({ provisioningStatus: 'ERROR', appliedRevision: 0, fault: fault('REFUSED') })).toBe(false);
    expect(rendered({ provisioningStatus: 'ERROR', fault: fault('BAD_STORED_VALUE') })).toBe(false);
  });

  it('has the enabled listeners of an enabled load balancer', () => {
    const listeners = [
      listener('a'),
      listener('b', { adminStateUp: false }),
      listener('c', { provisioningStatus: 'DELETED' }),
    ];
    expect(renderedListeners(tree({}, { listeners })).map(({ id }) => id)).toEqual(['a']);
    expect(renderedListeners(tree({ adminStateUp: false }, { listeners }))).toEqual([]);
  });
});
