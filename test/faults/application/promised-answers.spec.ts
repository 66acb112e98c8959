import { describe, expect, it } from '@jest/globals';
import type { Filter } from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { codeOf, names, serve } from '../../support/served.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

async function rejects(): Promise<never> {
  throw new Error('database is away');
}

/** What TypeScript keeps applications from, and JavaScript does not. */
function answering(answer: () => unknown): Filter {
  return ({ data }) => (data === 'hidden' ? answer() : true) as boolean;
}

const ANSWERS: readonly [shown: string, answer: () => unknown][] = [
  ['a promise', () => Promise.resolve(true)],
  ['a promise', () => Promise.resolve(false)],
  ['a promise', rejects],
  ['undefined', () => undefined],
  ['null', () => null],
  ['1', () => 1],
  ['0', () => 0],
  ['"true"', () => 'true'],
  ['{}', () => ({})],
];

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`Callbacks that have to answer at once: ${transport.name} on ${platform.name}`, () => {
      it('A8: a filter that answers anything but true or false hides the event, ends its client, and says so', async () => {
        const { sse, connect, logger } = await serve(bench, platform, transport);
        const plain = await connect('a');
        for (const [shown, answer] of ANSWERS) {
          const failing = await connect('a', { filter: answering(answer) });
          await sse.publish('a', 'n', 'seen');
          await sse.publish('a', 'n', 'hidden');
          await failing.untilEnd();
          expect(names(failing)).toEqual(['sse.open', 'n', 'sse.reset']);
          expect(failing.data).toEqual(['seen']);
          expect(JSON.parse(failing.events.at(-1)!.data)).toEqual({ reason: 'filter', topics: ['a'] });
          expect(logger.ofHub('error').at(-1)).toContain(`it answered ${shown}, and has to answer true or false`);
          const back = await connect('a', { filter: answering(answer) }, failing.lastEventId);
          await sse.publish('a', 'n', 'seen');
          expect(await back.messagesUpTo(1)).toEqual(['seen']);
          expect(names(back)).toEqual(['sse.open', 'n']);
          back.close();
        }
        expect(await plain.messagesUpTo(3 * ANSWERS.length)).toHaveLength(3 * ANSWERS.length);
      });

      it('A8: the same for a filter of one topic, and in replay', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        const failing = await connect('a', { id: 'f' });
        const { lastEventId } = failing;
        sse.subscribe('f', 'b', { filter: answering(rejects) });
        await sse.publish('b', 'n', 'hidden');
        await failing.untilEnd();
        expect(names(failing)).toEqual(['sse.open', 'sse.reset']);
        const replayed = await connect('b', { filter: answering(rejects) }, lastEventId);
        await replayed.untilEnd();
        expect(names(replayed)).toEqual(['sse.open', 'sse.reset']);
      });

      it('A8: observers that are async and reject are logged, and the process lives', async () => {
        const { sse, connect, logger } = await serve(bench, platform, transport);
        const each = sse.observe('a').forEach(rejects);
        const observers = [
          sse.observe('a').subscribe(rejects),
          sse.observe('a').subscribe({ next: rejects, complete: rejects }),
          sse.connections.subscribe(rejects),
        ];
        const client = await connect('a');
        sse.broadcast('a', 'n', 1);
        expect(await client.messagesUpTo(1)).toEqual([1]);
        const told = (): number => logger.ofHub('error').filter((text) => text.includes('database is away')).length;
        await until('each of them is told', () => told() === 4);
        for (const observer of observers) observer.unsubscribe();
        await sse.shutdown();
        await each;
      });

      it('A8: `serialize` and data that are promises are INVALID_EVENT, and `deserialize` that is async fails its readers', async () => {
        const { sse, connect, logger } = await serve(bench, platform, transport, {
          config: {
            serialize: (data: unknown) => (data === 'later' ? (rejects() as unknown as string) : JSON.stringify(data)),
            deserialize: rejects,
          },
        });
        const plain = await connect('a');
        expect(codeOf(() => sse.broadcast('a', 'n', 'later'))).toBe('INVALID_EVENT');
        const failing = await connect('a', { filter: ({ data }) => data !== undefined });
        const observing = sse.observe('a').subscribe(({ data }) => data);
        sse.broadcast('a', 'n', 1);
        await failing.untilEnd();
        expect(names(failing)).toEqual(['sse.open', 'sse.reset']);
        expect(await plain.messagesUpTo(1)).toEqual([1]);
        expect(logger.ofHub('error')).toEqual([
          expect.stringContaining('deserialize() answered a promise'),
          expect.stringContaining('deserialize() answered a promise'),
        ]);
        observing.unsubscribe();
      });

      it('A8: data that nobody has awaited is INVALID_EVENT', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        const client = await connect('a');
        expect(() => sse.broadcast('a', 'n', Promise.resolve(1))).toThrow('data is a promise; await it');
        sse.broadcast('a', 'n', 1);
        expect(await client.messagesUpTo(1)).toEqual([1]);
      });
    });
  }
}
