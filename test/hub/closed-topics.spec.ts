import { describe, expect, it } from '@jest/globals';

import { TestHub, turn } from '../support/test-hub.js';

describe('a client that follows a topic which is finished already, and others', () => {
  it('is told so when it connects', async () => {
    const test = new TestHub();
    test.close('a');
    await turn();
    const { transport } = await test.open({ topics: ['a', 'b'] });
    expect(transport.lines).toEqual(['open none', 'closed a']);
  });

  it('is told so when it follows it later', async () => {
    const test = new TestHub();
    test.close('a');
    const { client, transport } = await test.open({ topics: ['b'] });
    test.hub.subscribe(client.id, 'a', undefined);
    test.publish('b', '1');
    await turn();
    expect(transport.lines).toEqual(['open none', 'closed a', '1']);
  });

  it('is told so when it first follows something after its stream was open', async () => {
    const test = new TestHub();
    test.close('a');
    const { client, transport } = await test.open();
    for (const topic of ['a', 'b']) test.hub.subscribe(client.id, topic, undefined);
    await turn();
    expect(transport.lines).toEqual(['open none', 'closed a']);
  });

  it('is told so when the log has let go of the end that it would have read', async () => {
    const test = new TestHub({ history: [{ topics: 'a', maxSize: 0 }] });
    test.publish('b', '1');
    test.publish('a', '2');
    test.close('a');
    test.publish('b', '3');
    await turn(2);
    const { transport } = await test.open({ topics: ['a', 'b'], since: 1 });
    expect(transport.lines).toEqual(['open none', 'closed a', '1', '3']);
  });

  it('gets the end instead when all it follows is finished', async () => {
    const test = new TestHub();
    test.close('a');
    test.close('b');
    const { transport } = await test.open({ topics: ['a', 'b'] });
    expect(transport.lines).toEqual(['open none', 'end']);
  });
});
