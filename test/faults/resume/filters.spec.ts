import { describe, expect, it } from '@jest/globals';
import { type ClientOptions, type SSEModuleOptions } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { publish } from '../../support/readers/numbered.js';
import { direct, nestSse } from '../../support/stream-controllers.js';

returnToBaseline();

for (const platform of platforms) {
  for (const transport of [direct, nestSse]) {
    describe(`filters: ${transport.name} on ${platform.name}`, () => {
      const start = (config: SSEModuleOptions, options: () => Omit<ClientOptions, 'topics'>) =>
        startApp(platform, { config, controllers: [transport.controller(options)] });

      it('R18: filter, except and exceptGroup hold in replay as they did live', async () => {
        const { url, sse } = await start({}, () => ({
          id: 'me',
          group: 'g',
          filter: (event) => event.metadata?.['secret'] !== true,
        }));
        const live = await open(`${url}/events/t`);
        const { lastEventId } = await live.next();
        sse.broadcast({ topic: 't', event: 'n', data: 1 });
        sse.broadcast({ topic: 't', event: 'n', data: 2, metadata: { secret: true } });
        sse.broadcast({ topic: 't', event: 'n', data: 3 }, { exceptGroup: 'g' });
        sse.broadcast({ topic: 't', event: 'n', data: 4 }, { exceptGroup: 'other', except: ['somebody'] });
        sse.broadcast({ topic: 't', event: 'n', data: 5 }, { except: 'me' });
        sse.broadcast({ topic: 't', event: 'n', data: 6 });
        expect(await live.messagesUpTo(3)).toEqual([1, 4, 6]);
        live.close();
        const replay = await open(`${url}/events/t`, { lastEventId });
        publish(sse, 't', 7, 7);
        expect(await replay.messagesUpTo(4)).toEqual([1, 4, 6, 7]);
        replay.close();
      });
    });
  }
}
