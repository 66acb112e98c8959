import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { until } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { NestServer, nestVersions } from '../../support/processes/nest-versions.js';
import { closeStreams, type EventStream, open } from '../../support/readers/event-stream.js';

/** What applications have beside the hub: their own bookkeeping ends with a stream, and begins again with the next. */

for (const version of nestVersions) {
  describe(version.name, () => {
    let server: NestServer;

    beforeAll(async () => {
      server = await NestServer.start(version, 'packages');
    });

    afterAll(async () => {
      closeStreams();
      await server.stop();
    });

    for (const { name: platform } of platforms) {
      it.each(['stream', 'direct'])(
        `N8: helmet, compression, sessions, pino-http, a throttler, a prefix, versions and a filter leave /%s as it is on ${platform}`,
        async (route) => {
          const connect = async (lastEventId = ''): Promise<EventStream> => {
            const stream = await open(`${server.url(platform)}/api/v1/events/${route}`, { lastEventId });
            stream.request.on('error', () => {});
            return stream;
          };
          const overForItsLog = async (requests: number): Promise<void> => {
            let lines = 0;
            await until(
              'it is over for its log too',
              async () => (lines += (await server.logged()).length) === requests,
            );
          };
          const first = await connect();
          expect(first.response.headers).toMatchObject({
            'content-type': 'text/event-stream',
            'x-frame-options': 'SAMEORIGIN',
            'set-cookie': [expect.stringMatching(/^connect\.sid=/)],
          });
          await first.next();
          await server.broadcast(platform, 't', 1);
          await first.messagesUpTo(1);
          expect(await server.logged()).toEqual([]);
          first.close();
          await overForItsLog(1);
          await server.broadcast(platform, 't', 2);
          const again = await connect(first.lastEventId);
          expect(await again.messagesUpTo(2)).toMatchObject([{ n: 1 }, { n: 2 }]);
          // Reconnects count for a throttler like all requests, and a 429 ends an EventSource.
          const third = await connect();
          await third.untilEnd();
          expect([third.status, third.raw]).toEqual([429, expect.stringContaining('caught')]);
          again.close();
          await until('both are over', async () => (await server.stats(platform)).clients === 0);
          await overForItsLog(2);
        },
      );
    }
  });
}
