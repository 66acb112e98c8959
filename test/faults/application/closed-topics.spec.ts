import { describe, expect, it } from '@jest/globals';
import { topicPattern } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { codeOf, names, serve } from '../../support/served.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('A7: closeTopic() delivers what was published before, then ends those who follow nothing else', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        const one = await connect('run');
        const two = await connect('run,other');
        const pattern = await connect('other', { id: 'p' });
        sse.subscribe('p', topicPattern('*'));
        sse.broadcast('run', 'n', 1);
        sse.closeTopic('run');
        sse.closeTopic('run');
        expect(codeOf(() => sse.broadcast('run', 'n', 2))).toBe('TOPIC_CLOSED');
        await expect(sse.publish('run', 'n', 2)).rejects.toMatchObject({ code: 'TOPIC_CLOSED', status: 409 });
        sse.broadcast('other', 'n', 3);

        await one.untilEnd();
        expect(names(one)).toEqual(['sse.open', 'n', 'sse.end']);
        expect(one.lastEventId).toBe('1~end');
        await two.messagesUpTo(2);
        expect(names(two)).toEqual(['sse.open', 'n', 'sse.closed', 'n']);
        expect(two.ofType('sse.closed')[0]!.data).toBe('{"topic":"run"}');
        expect(two.ofType('sse.closed')[0]!.lastEventId).toMatch(/^1~\w+~/);
        expect(await pattern.messagesUpTo(2)).toEqual([1, 3]);
        expect(names(pattern)).toEqual(['sse.open', 'n', 'sse.closed', 'n']);
        sse.closeTopic('other');
        await two.untilEnd();
        expect(names(two).slice(4)).toEqual(['sse.end']);
      });

      it('A7: whoever connects late to a closed topic gets what it has not seen, then the end', async () => {
        const { sse, connect, request } = await serve(bench, platform, transport);
        const early = await connect('run');
        sse.broadcast('run', 'n', 1);
        await early.messagesUpTo(1);
        const { lastEventId } = early;
        sse.broadcast('run', 'n', 2);
        sse.closeTopic('run');
        await early.untilEnd();

        const all = await request('run', { since: 0 });
        await all.untilEnd();
        expect(all.data).toEqual([1, 2]);
        expect(names(all)).toEqual(['sse.open', 'n', 'n', 'sse.end']);
        const rest = await connect('run', {}, lastEventId);
        await rest.untilEnd();
        expect(rest.data).toEqual([2]);
        expect(names(rest)).toEqual(['sse.open', 'n', 'sse.end']);
        const nothing = await request('run');
        await nothing.untilEnd();
        expect(nothing.data).toEqual([]);
        expect(names(nothing).at(-1)).toBe('sse.end');
        const upToDate = await connect('run', {}, all.events[2]!.lastEventId);
        await upToDate.untilEnd();
        expect(names(upToDate)).toEqual(['sse.open', 'sse.end']);
        expect(sse.stats().clients).toBe(0);
      });

      it('A7: a late client of several closed topics gets what each of them had before its end', async () => {
        const { sse, connect, request } = await serve(bench, platform, transport);
        const early = await connect('run,walk');
        sse.broadcast('run', 'n', 1);
        await early.messagesUpTo(1);
        const { lastEventId } = early;
        sse.broadcast('walk', 'n', 2);
        sse.closeTopic('run');
        sse.broadcast('walk', 'n', 3);
        sse.closeTopic('walk');
        await early.untilEnd();
        expect(early.data).toEqual([1, 2, 3]);
        expect(names(early)).toEqual(['sse.open', 'n', 'n', 'sse.closed', 'n', 'sse.end']);

        const all = await request('run,walk', { since: 0 });
        await all.untilEnd();
        expect(all.data).toEqual([1, 2, 3]);
        expect(names(all)).toEqual(['sse.open', 'n', 'n', 'sse.closed', 'n', 'sse.end']);
        const rest = await connect('run,walk', {}, lastEventId);
        await rest.untilEnd();
        expect(rest.data).toEqual([2, 3]);
        expect(rest.lastEventId).toBe('1~end');
      });

      it('A7: a late client of a closed topic and an open one learns that the first is finished, and stays', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        sse.broadcast('run', 'n', 1);
        sse.closeTopic('run');
        const replaying = await connect('run,other', { since: 0 });
        const fresh = await connect('run,other');
        sse.broadcast('other', 'n', 2);
        expect(await replaying.messagesUpTo(2)).toEqual([1, 2]);
        expect(names(replaying)).toEqual(['sse.open', 'n', 'sse.closed', 'n']);
        expect(await fresh.messagesUpTo(1)).toEqual([2]);
        expect(names(fresh)).toEqual(['sse.open', 'sse.closed', 'n']);
      });

      it('A7: openTopic() starts a topic over; a new viewer sees the new life alone, one that resumes sees both', async () => {
        const { sse, connect, request } = await serve(bench, platform, transport);
        const early = await connect('run');
        sse.broadcast('run', 'first', 1);
        await early.messagesUpTo(1);
        const { lastEventId } = early;
        sse.broadcast('run', 'first', 2);
        sse.closeTopic('run');
        await early.untilEnd();
        sse.openTopic('run');
        sse.openTopic('run');
        sse.broadcast('run', 'second', 3);

        const late = await connect('run', { since: 0 });
        expect(await late.messagesUpTo(1)).toEqual([3]);
        const resumed = await connect('run', {}, lastEventId);
        expect(await resumed.messagesUpTo(2)).toEqual([2, 3]);
        expect(names(resumed).filter((name) => name === 'sse.end')).toEqual([]);
        const live = await connect('run');
        sse.broadcast('run', 'second', 4);
        for (const [stream, data] of [
          [late, [3, 4]],
          [resumed, [2, 3, 4]],
          [live, [4]],
        ] as const) {
          expect(await stream.messagesUpTo(data.length)).toEqual(data);
        }
        sse.closeTopic('run');
        for (const stream of [late, resumed, live]) {
          await stream.untilEnd();
          expect(stream.lastEventId).toBe('1~end');
        }
        // The second life is finished too: it alone for whoever comes anew, the rest of both for whoever resumes.
        const afterwards = await request('run', { since: 0 });
        await afterwards.untilEnd();
        expect(names(afterwards)).toEqual(['sse.open', 'second', 'second', 'sse.end']);
        expect(afterwards.data).toEqual([3, 4]);
        const both = await connect('run', {}, lastEventId);
        await both.untilEnd();
        expect(both.data).toEqual([2, 3, 4]);
        expect(names(both).at(-1)).toBe('sse.end');
      });

      it('A7: publishFrom() closes the topic behind the last value, and a source that fails says nothing of why', async () => {
        const { sse, connect, request } = await serve(bench, platform, transport);
        const viewer = await connect('answer:1');
        await sse.publishFrom(numbers(3), 'answer:1', 'token');
        await viewer.untilEnd();
        expect(names(viewer)).toEqual(['sse.open', 'token', 'token', 'token', 'sse.end']);

        const watcher = await connect('answer:2');
        await expect(sse.publishFrom(failing('secret'), 'answer:2', 'token')).rejects.toThrow('secret');
        await watcher.untilEnd();
        expect(names(watcher)).toEqual(['sse.open', 'token', 'failed', 'sse.end']);
        expect(watcher.raw).not.toContain('secret');
        const late = await request('answer:2', { since: 0 });
        await late.untilEnd();
        expect(names(late)).toEqual(['sse.open', 'token', 'failed', 'sse.end']);
      });
    });
  }
}

async function* numbers(count: number): AsyncGenerator<number> {
  for (let n = 0; n < count; n++) yield n;
}

async function* failing(message: string): AsyncGenerator<number> {
  yield 0;
  throw new Error(message);
}
