import { expect, it } from '@jest/globals';

import { until } from '../../support/baseline.js';
import { onEveryNest } from '../../support/processes/nest-versions.js';

/** What applications have beside the hub: their own bookkeeping ends with a stream, and begins again with the next. */

onEveryNest('packages', (app) => {
  it.each(['stream', 'direct', 'followed'])(
    'N8: helmet, compression, sessions, pino-http, a throttler, a prefix, versions and a filter leave /%s as it is',
    async (route) => {
      const connect = (lastEventId = '') => app.open(`api/v1/events/${route}`, { lastEventId });
      const overForItsLog = async (requests: number): Promise<void> => {
        let lines = 0;
        await until('it is over for its log too', async () => (lines += (await app.logged()).length) === requests);
      };
      const first = await connect();
      expect(first.response.headers).toMatchObject({
        'content-type': 'text/event-stream',
        'x-frame-options': 'SAMEORIGIN',
        'set-cookie': [expect.stringMatching(/^connect\.sid=/)],
      });
      await first.next();
      await app.broadcast('t', 1);
      await first.messagesUpTo(1);
      expect(await app.logged()).toEqual([]);
      first.close();
      await overForItsLog(1);
      await app.broadcast('t', 2);
      const again = await connect(first.lastEventId);
      expect(await again.messagesUpTo(2)).toMatchObject([{ n: 1 }, { n: 2 }]);
      // Reconnects count for a throttler like all requests, and a 429 ends an EventSource.
      const third = await connect();
      await third.untilEnd();
      expect([third.status, third.raw]).toEqual([429, expect.stringContaining('caught')]);
      again.close();
      await app.untilAllHaveLeft();
      await overForItsLog(2);
    },
  );
});
