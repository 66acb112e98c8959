import { describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { connect, expectRefused, refusal } from '../../support/refusals.js';
import { transports } from '../../support/stream-controllers.js';
import { turn } from '../../support/test-hub.js';

returnToBaseline();

const HOSTILE_TOPICS = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'undefined',
  'length',
  '0',
];

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`Encoding: ${transport.name} on ${platform.name}`, () => {
      it('E11: keeps topics apart that are called like something every object has', async () => {
        const { sse, url } = await connect(platform, transport);
        const clients = await Promise.all(HOSTILE_TOPICS.map((topic) => open(`${url}/events/${topic}`)));
        for (const client of clients) await client.next();
        for (const topic of HOSTILE_TOPICS) {
          expect(sse.getClientCount(topic)).toBe(1);
          sse.broadcast(topic, 'name', topic);
          sse.broadcast(topic, 'last', topic);
        }
        for (const [i, client] of clients.entries()) {
          await client.messagesUpTo(2);
          expect(client.messages.map(({ event, data }) => [event, data])).toEqual([
            ['name', HOSTILE_TOPICS[i]],
            ['last', HOSTILE_TOPICS[i]],
          ]);
        }
        sse.closeTopic('__proto__');
        await clients[0]!.untilEnd();
        expect(sse.getClientCount()).toBe(HOSTILE_TOPICS.length);
        expect(await refusal(() => sse.broadcast('__proto__', 'name', 1))).toBe('TOPIC_CLOSED');
        sse.broadcast('constructor', 'name', 'goes on');
        expect(await clients[1]!.messagesUpTo(3)).toContain('goes on');
      });

      it('E11: resumes on such a topic without what was published on the others', async () => {
        const { sse, url } = await connect(platform, transport);
        const lastEventId = await sse.publish('__proto__', 'name', 'seen');
        for (const topic of [...HOSTILE_TOPICS, 'topic']) sse.broadcast(topic, 'name', `of ${topic}`);
        const client = await open(`${url}/events/__proto__`, { lastEventId });
        expect(JSON.parse((await client.next()).data)).toMatchObject({ resumed: 'full' });
        sse.broadcast('__proto__', 'name', 'live');
        expect(await client.messagesUpTo(2)).toEqual(['of __proto__', 'live']);
      });

      it('E11: refuses topics that are empty, too long, no string, or hold a wildcard', async () => {
        const connected = await connect(platform, transport);
        const { sse, clientId } = connected;
        const topics: unknown[] = [
          '',
          't'.repeat(10_000),
          't'.repeat(513),
          'é'.repeat(257),
          '*',
          '**',
          'top*',
          'topic:**',
        ];
        const notText: unknown[] = [undefined, null, 7, {}, ['topic'], { toString: 1 }];
        const attempts = [...topics, ...notText].flatMap((topic) => [
          () => sse.broadcast({ topic: topic as string, data: 'data' }),
          () => sse.publish({ topic: topic as string, data: 'data' }),
          () => sse.closeTopic(topic as string),
          () => sse.subscribe(clientId, topic as string),
        ]);
        const byName = topics.map((topic) => () => sse.broadcast(topic as string, 'name', 'data'));
        await expectRefused(connected, [...attempts, ...byName], 'INVALID_TOPIC');
      });

      it('E11: keeps topics apart that look alike', async () => {
        const { sse, url } = await connect(platform, transport);
        // Fastify answers 404 to a parameter of more than 100 characters.
        const topics = ['t'.repeat(100), 't'.repeat(99), 'é', 'e\u0301', 'É', 'a:b', 'a::b', 'a', ' a', 'a '];
        const clients = await Promise.all(topics.map((topic) => open(`${url}/events/${encodeURIComponent(topic)}`)));
        for (const client of clients) await client.next();
        for (const topic of topics) sse.broadcast(topic, 'name', topic);
        for (const client of clients) await client.messagesUpTo(1);
        await turn();
        expect(clients.map((client) => client.data)).toEqual(topics.map((topic) => [topic]));
      });
    });
  }
}
