import { describe, expect, it } from '@jest/globals';
import type { SSEEvent } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { codeOf, serve } from '../../support/served.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

const FORGED = '1\nevent: sse.end\nid: 1~end\ndata: {}\n\ndata: injected';

type Event = SSEEvent & { topic: string };

/** An event whose `field` is fit to be sent when it is read for the first time, and never again. */
function changing(field: 'event' | 'id' | 'comment' | 'topic' | 'retry', first: unknown): Event {
  let reads = 0;
  const event = { topic: 'a', event: 'n', data: 1 };
  return Object.defineProperty(event, field, { get: () => (reads++ === 0 ? first : FORGED), enumerable: true });
}

/** One that changes itself while its data is serialised. */
function changedByToJSON(): Event {
  const event: Event = {
    topic: 'a',
    event: 'n',
    retry: 1_000,
    data: {
      toJSON: () => {
        Object.assign(event, { retry: FORGED, event: 'sse.end', id: '1~end', comment: FORGED, topic: 'b' });
        return 1;
      },
    },
  };
  return event;
}

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`Events that change: ${transport.name} on ${platform.name}`, () => {
      it.each<[string, () => Event]>([
        ['event', () => changing('event', 'n')],
        ['id', () => changing('id', 'own')],
        ['comment', () => changing('comment', 'one line')],
        ['topic', () => changing('topic', 'a')],
        ['retry', () => changing('retry', 1_000)],
        ['all, by toJSON', changedByToJSON],
      ])('A8: what was checked of an event is what leaves, whatever becomes of it meanwhile: %s', async (_, make) => {
        const { sse, connect } = await serve(bench, platform, transport);
        const other = await connect('b');
        const client = await connect('a', { id: 'c', initial: make });
        sse.broadcast(make());
        await sse.publish(make());
        sse.sendEvent('c', make());
        const last = await sse.publish('a', 'n', 1);
        await client.messagesUpTo(5);
        expect(client.messages.map(({ event, data }) => [event, data])).toEqual(
          Array.from({ length: 5 }, () => ['n', '1']),
        );
        expect(client.lastEventId).toBe(last);
        expect(client.raw).not.toMatch(/injected|1~end|^: 1$/m);
        expect(client.retries.every((retry) => retry >= 1_000)).toBe(true);
        expect(other.messages).toEqual([]);
      });

      it('A8: `serialize` gets a copy that it cannot change', async () => {
        const { sse, connect } = await serve(bench, platform, transport, {
          config: {
            serialize: (data: unknown, event: Readonly<SSEEvent>) => {
              Object.assign(event, { retry: FORGED });
              return JSON.stringify(data);
            },
          },
        });
        const client = await connect('a');
        expect(codeOf(() => sse.broadcast('a', 'n', 1))).toBe('INVALID_EVENT');
        expect(client.messages).toEqual([]);
      });

      it('A8: those left out are the ones that were checked', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        const client = await connect('a', { id: 'c' });
        const ids = ['c'];
        let reads = 0;
        const except = Object.defineProperty([] as string[], 0, { get: () => ids[reads++] ?? { toString: 1 } });
        sse.broadcast('a', 'n', 1, undefined, { except });
        sse.broadcast('a', 'n', 2);
        expect(await client.messagesUpTo(1)).toEqual([2]);
      });

      it('A8: an event with a field that cannot be read is INVALID_EVENT, and no answer tells why', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        const client = await connect('a', { id: 'c' });
        const broken = Object.defineProperty({ topic: 'a', data: 1 }, 'id', {
          get: () => {
            throw new Error('secret');
          },
        });
        for (const act of [() => sse.broadcast(broken), () => sse.sendEvent('c', broken)]) {
          expect(act).toThrow(
            expect.objectContaining({ code: 'INVALID_EVENT', response: expect.not.stringContaining('secret') }),
          );
        }
        expect(codeOf(() => sse.sendEvent('c', null as unknown as SSEEvent))).toBe('INVALID_EVENT');
        sse.broadcast('a', 'n', 1);
        expect(await client.messagesUpTo(1)).toEqual([1]);
      });
    });
  }
}
