import { describe, expect, it } from '@jest/globals';
import { topicPattern } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { connect, expectRefused, waysIn } from '../../support/refusals.js';
import { transports } from '../../support/stream-controllers.js';

returnToBaseline();

const UNFIT_CHARACTERS = ['\r', '\n', '\r\n', '\0', '\u0001', '\t', '\u001b', '\u007f', '\u0085', '\ud83d', '\ude00'];
const UNFIT = UNFIT_CHARACTERS.flatMap((unfit) => [unfit, `${unfit}data: x`, `a${unfit}`, `a${unfit}b`]);

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`Encoding: ${transport.name} on ${platform.name}`, () => {
      it('E1: refuses CR, LF, CRLF, NUL, other control characters and lone surrogates in event and id', async () => {
        const connected = await connect(platform, transport);
        const attempts = UNFIT.flatMap((unfit) => [
          ...waysIn(connected, { data: 'data', event: unfit }),
          ...waysIn(connected, { data: 'data', id: unfit }),
        ]);
        await expectRefused(connected, attempts, 'INVALID_EVENT');
      });

      it('E1: refuses the same in a topic, wherever one is named', async () => {
        const connected = await connect(platform, transport);
        const { sse, clientId } = connected;
        const attempts = UNFIT.flatMap((topic) => [
          () => sse.broadcast({ topic, data: 'data' }),
          () => sse.broadcast(topic, 'name', 'data'),
          () => sse.publish(topic, 'name', 'data'),
          () => sse.publishFrom((async function* () {})(), topic, 'name'),
          () => sse.subscribe(clientId, topic),
          () => sse.closeTopic(topic),
          () => sse.openTopic(topic),
          () => sse.getClientCount(topic),
          () => sse.getClientsByTopic(topic),
          () => topicPattern(topic),
          () => new Promise((_, reject) => sse.observe(topic).subscribe({ error: reject })),
          () => new Promise((_, reject) => sse.stream(topic).subscribe({ error: reject })),
        ]);
        await expectRefused(connected, attempts, 'INVALID_TOPIC');
        expect(connected.client.ended).toBe(false);
      });

      it('E1: answers 400 when a URL brings such a topic', async () => {
        const { url, sse } = await connect(platform, transport);
        for (const topic of ['a%0Adata:%20x', 'a%0D', '%00', 'good,a%1B']) {
          expect((await open(`${url}/events/${topic}`)).status).toBe(400);
        }
        expect(sse.getClientCount()).toBe(1);
      });

      it('E2: refuses a retry that is not an integer from 0 to 2^31-1', async () => {
        const connected = await connect(platform, transport);
        const values: unknown[] = [-1, 1.5, NaN, Infinity, '10', '10\ndata: x', 1e21, 2 ** 31, null, true, {}, 5n];
        const attempts = values.flatMap((retry) => waysIn(connected, { data: 'data', retry: retry as number }));
        await expectRefused(connected, attempts, 'INVALID_EVENT');
      });

      it('E2: sends the smallest and the largest retry as they are', async () => {
        const { sse, client } = await connect(platform, transport);
        for (const retry of [0, -0, 1, 2 ** 31 - 1]) sse.broadcast({ topic: 'topic', data: 'x', retry });
        await client.messagesUpTo(4);
        expect(client.retries.slice(-4)).toEqual([0, 0, 1, 2 ** 31 - 1]);
      });

      it('E3: makes comment lines only of a comment, whatever it looks like', async () => {
        const { sse, client } = await connect(platform, transport);
        const comments = [
          '',
          '\n',
          '\r',
          'a\rdata: x',
          'a\nevent: x\n\ndata: y\n\n',
          'a\r\nid: 1\r\n\r\nretry: 1',
          '\n\rdata: x',
          ':',
          'nul\0 \u2028data: x',
        ];
        const before = client.raw.length;
        for (const comment of comments) sse.broadcast({ topic: 'topic', event: 'name', data: 'data', comment });
        const cursor = await sse.publish('topic', 'end', 'data');
        await client.messagesUpTo(comments.length + 1);
        const lines = client.raw.slice(before).split('\n');
        const others = lines.filter((line) => !line.startsWith(':') && !line.startsWith('id: ') && line !== '');
        expect(others).toEqual([...comments.flatMap(() => ['event: name', 'data: data']), 'event: end', 'data: data']);
        const withLineFeeds = comments.flatMap((comment) => comment.split(/\r\n|\r|\n/));
        expect(lines.filter((line) => line.startsWith(':'))).toEqual(withLineFeeds.map((line) => `: ${line}`));
        expect(client.raw.slice(before)).not.toContain('\r');
        expect(client.lastEventId).toBe(cursor);
        expect(client.retries).toHaveLength(1);
      });

      it("E10: refuses the browser's own event names and the hub's", async () => {
        const connected = await connect(platform, transport);
        const names = ['open', 'error', 'sse.x', 'sse.', 'sse.open', 'sse.end', 'sse.reset'];
        const attempts = names.flatMap((event) => waysIn(connected, { data: 'data', event }));
        await expectRefused(connected, attempts, 'INVALID_EVENT');
      });

      it('E10: sends names that only look like them', async () => {
        const { sse, client } = await connect(platform, transport);
        const names = ['Open', 'ERROR', 'errors', ' open', 'sse', 'ssex', 'Sse.x', 'x.sse.', 'message', 'close'];
        for (const name of names) sse.broadcast('topic', name, name);
        await client.messagesUpTo(names.length);
        expect(client.messages.map(({ event }) => event)).toEqual(names);
      });
    });
  }
}
