import { describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { type EventStream, open } from '../../support/readers/event-stream.js';
import { everything, opened, publish, resets } from '../../support/readers/numbered.js';
import { direct, nestSse } from '../../support/stream-controllers.js';
import { turn } from '../../support/test-hub.js';

returnToBaseline();

const bare = () => ({ controlEvents: false });

/** Blocks that have fields, and none of them `data`. */
function withoutData({ raw }: EventStream): string[] {
  return raw.split('\n\n').filter((block) => /^\w/m.test(block) && !/^data:/m.test(block));
}

for (const platform of platforms) {
  describe(`ids of the application on ${platform.name}`, () => {
    for (const transport of [direct, nestSse]) {
      it(`R10: ${transport.name}: exact for every reader, by the sse.cursor behind the event`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const stream = await open(`${url}/events/t`);
        const { clientId } = await opened(stream);
        sse.broadcast('t', 'n', 1, 'one');
        const cursor = await sse.publish('t', 'n', 2, 'two');
        sse.sendTo(clientId, 'n', 3, 'private');
        await stream.until(() => stream.ofType('sse.cursor').length === 3);
        expect(stream.messages.map(({ lastEventId }) => lastEventId)).toEqual(['one', 'two', 'private']);
        // Nothing rests on blocks without data.
        expect(withoutData(stream)).toEqual([]);
        expect(stream.ofType('sse.cursor').map(({ data, lastEventId }) => [data, lastEventId])).toEqual([
          ['{}', expect.stringMatching(/^1~/)],
          ['{}', cursor],
          ['{}', cursor],
        ]);
        stream.close();
        sse.broadcast('t', 'n', 4, 'one');
        const after = await open(`${url}/events/t`, { lastEventId: cursor });
        expect((await opened(after)).resumed).toBe('full');
        expect(await everything(after, sse, 't')).toEqual([4]);
        after.close();
      });

      it(`R10: ${transport.name}: without control events exact for readers that honour id-only blocks, and for others by the id`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller(bare)] });
        const stream = await open(`${url}/events/t`);
        await stream.until(() => stream.lastEventId !== '');
        sse.broadcast('t', 'n', 1, 'one');
        sse.broadcast('t', 'n', 2, 'two');
        await stream.until(() => stream.messages.length === 2 && stream.lastEventId.startsWith('1~'));
        expect(stream.messages.map(({ lastEventId }) => lastEventId)).toEqual(['one', 'two']);
        expect(stream.raw).not.toContain('sse.');
        stream.close();
        sse.broadcast('t', 'n', 3, 'three');
        for (const lastEventId of [stream.lastEventId, 'two']) {
          const after = await open(`${url}/events/t`, { lastEventId });
          expect(await after.messagesUpTo(1)).toEqual([3]);
          after.close();
        }
      });

      it(`R10: ${transport.name}: starts from the oldest of several events with the same id, after a reset`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        sse.broadcast('t', 'n', 1, 'same');
        sse.broadcast('t', 'n', 2, 'other');
        sse.broadcast('t', 'n', 3, 'same');
        sse.broadcast('t', 'n', 4);
        const stream = await open(`${url}/events/t`, { lastEventId: 'same' });
        expect((await opened(stream)).resumed).toBe('reset');
        expect(await everything(stream, sse, 't')).toEqual([2, 3, 4]);
        expect(resets(stream)).toEqual([{ reason: 'ambiguous', topics: ['t'] }]);
        stream.close();
      });

      it(`R10: ${transport.name}: starts behind the oldest of them although it has left the history since`, async () => {
        const config = { history: [{ topics: 't', maxSize: 2 }] };
        const { url, sse } = await startApp(platform, { config, controllers: [transport.controller()] });
        for (const [n, id] of [undefined, 'same', undefined, 'same', undefined].entries())
          sse.broadcast('t', 'n', n, id);
        sse.broadcast('other', 'n', 0, 'same');
        await turn(2);
        const stream = await open(`${url}/events/t`, { lastEventId: 'same' });
        expect((await opened(stream)).resumed).toBe('reset');
        expect(await everything(stream, sse, 't')).toEqual([3, 4]);
        expect(resets(stream)).toEqual([{ reason: 'ambiguous', topics: ['t'] }]);
        stream.close();
        // Of another topic, and so none of those that this one may have seen.
        const elsewhere = await open(`${url}/events/other`, { lastEventId: 'same' });
        expect((await opened(elsewhere)).resumed).toBe('full');
        elsewhere.close();
      });

      it(`R10: ${transport.name}: takes the same id on two topics of one client for ambiguous`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        sse.broadcast('a', 'n', 1, 'same');
        sse.broadcast('b', 'n', 2, 'same');
        sse.broadcast('a', 'n', 3);
        const stream = await open(`${url}/events/a,b`, { lastEventId: 'same' });
        expect((await opened(stream)).resumed).toBe('reset');
        expect(await everything(stream, sse, 'b')).toEqual([2, 3]);
        expect(resets(stream)).toEqual([{ reason: 'ambiguous', topics: ['a', 'b'] }]);
        stream.close();
      });

      it(`R10: ${transport.name}: looks an id up among the client's own topics only`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        sse.broadcast('a', 'n', 1, 'same');
        sse.broadcast('b', 'n', 2, 'same');
        sse.broadcast('b', 'n', 3);
        const stream = await open(`${url}/events/b`, { lastEventId: 'same' });
        expect((await opened(stream)).resumed).toBe('full');
        expect(await everything(stream, sse, 'b')).toEqual([3]);
        expect(resets(stream)).toEqual([]);
        stream.close();
      });

      it(`R10: ${transport.name}: takes the id of an event that was sent to one client for none of ours`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const stream = await open(`${url}/events/t`);
        const { clientId } = await opened(stream);
        publish(sse, 't', 1, 1);
        sse.sendTo(clientId, 'private', 'hello', 'mine');
        await stream.messagesUpTo(2);
        expect(stream.messages[1]?.lastEventId).toBe('mine');
        stream.close();
        publish(sse, 't', 2, 2);
        const after = await open(`${url}/events/t`, { lastEventId: 'mine' });
        expect((await opened(after)).resumed).toBe('reset');
        expect(await everything(after, sse, 't')).toEqual([1, 2]);
        expect(resets(after)).toEqual([{ reason: 'foreign', topics: ['t'] }]);
        after.close();
      });
    }
  });
}
