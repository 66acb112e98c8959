import { describe, expect, it } from '@jest/globals';
import { firstValueFrom, NEVER } from 'rxjs';

import { formatCursor, withInitialDue } from '../../src/protocol/cursor.js';
import { FakeTransport } from '../support/fake-transport.js';
import { type Connection, type ConnectOptions, event, TestHub, turn } from '../support/test-hub.js';

const initial = () => [event('first'), event('second')];

/** What the client would come back with after so many blocks. */
function cursorAfter({ transport }: Connection, blocks: number): string {
  return transport.inFlight.slice(0, blocks).findLast(({ id }) => id !== undefined)!.id!;
}

async function linesOf(test: TestHub, options: ConnectOptions): Promise<string[]> {
  const { transport } = test.connect({ topics: ['t'], ...options });
  await turn(2);
  return transport.lines;
}

describe('initial events that have not all left', () => {
  it('are asked for again when the client comes back, with what was published since it came first', async () => {
    const test = new TestHub();
    const first = test.connect({ topics: ['t'], initial });
    test.publish('t', '1');
    await turn(2);
    expect(first.transport.lines).toEqual(['open none', 'first', 'second', '1']);

    const anew = ['open none', 'first', 'second', '1'];
    expect(await linesOf(test, { initial, lastEventId: cursorAfter(first, 1) })).toEqual(anew);
    expect(await linesOf(test, { initial, lastEventId: cursorAfter(first, 2) })).toEqual(anew);
    expect(await linesOf(test, { initial, lastEventId: cursorAfter(first, 3) })).toEqual(['open full', '1']);
    expect(await linesOf(test, { initial, lastEventId: cursorAfter(first, 4) })).toEqual(['open full']);
  });

  it('are asked for again after they failed', async () => {
    const test = new TestHub();
    const failing = await test.open({ topics: ['t'], initial: () => Promise.reject(new Error('no database')) });
    await turn();
    expect(failing.transport.ended).toBe(true);
    const lastEventId = cursorAfter(failing, 1);
    expect(await linesOf(test, { initial, lastEventId })).toEqual(['open none', 'first', 'second']);
  });

  it('are asked for again after a loss that was told already', async () => {
    const test = new TestHub({ maxHistorySize: 1 });
    test.publish('t', '1', '2', '3');
    await turn();
    const first = await test.open({
      topics: ['t'],
      lastEventId: test.log.cursors[0]!,
      onGap: 'latest',
      initial: () => firstValueFrom(NEVER),
    });
    expect(first.transport.lines).toEqual(['open reset', 'reset trimmed t']);
    const lastEventId = cursorAfter(first, 2);
    expect(await linesOf(test, { initial, onGap: 'latest', lastEventId })).toEqual(['open none', 'first', 'second']);
  });

  it('are asked for again after a shutdown', async () => {
    const test = new TestHub();
    const first = await test.open({ topics: ['t'], initial: () => firstValueFrom(NEVER) });
    await test.hub.shutdown();
    const next = new TestHub({}, test.log);
    const lastEventId = cursorAfter(first, 2);
    expect(await linesOf(next, { initial, lastEventId })).toEqual(['open none', 'first', 'second']);
  });

  it('are no longer due when there were none', async () => {
    const test = new TestHub();
    const transport = new FakeTransport();
    const { client } = test.connect({ topics: ['t'], initial: () => [], transport });
    await turn();
    test.publish('t', '1');
    await turn();
    expect(transport.lines).toEqual(['open none', '1']);
    expect(client.view.lastEventId).toBe(test.log.cursors[0]);
  });

  it('are told by a cursor that a handler without them reads as any other', async () => {
    const test = new TestHub();
    const first = await test.open({ topics: ['t'], initial: () => firstValueFrom(NEVER) });
    test.publish('t', '1');
    const lastEventId = cursorAfter(first, 1);
    expect(lastEventId).toBe(withInitialDue(formatCursor('e1', { ms: 0, seq: 0 }), true));
    const second = await test.open({ topics: ['t'], lastEventId });
    expect(second.transport.lines).toEqual(['open none', '1']);
    expect(second.client.view.lastEventId).toBe(test.log.cursors[0]);
  });
});
