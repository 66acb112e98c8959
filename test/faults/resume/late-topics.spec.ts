import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Query, Res } from '@nestjs/common';
import { type NodeResponseLike, SSEService } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { everything, leaveAfterFirst, opened, publish, resets } from '../../support/readers/numbered.js';
import { turn } from '../../support/test-hub.js';

returnToBaseline();

for (const platform of platforms) {
  describe(`subscribing after connecting on ${platform.name}`, () => {
    @Controller()
    class BareController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('bare')
      bare(@Res() response: NodeResponseLike, @Query('topic') topic?: string): void {
        const id = this.sse.createClient(response);
        if (topic) this.sse.subscribe(id, topic);
      }
    }
    const start = () => startApp(platform, { controllers: [BareController] });

    it('R15: replays from the cursor for topics followed in the same turn', async () => {
      const { url, sse } = await start();
      const lastEventId = await leaveAfterFirst(sse, `${url}/bare?topic=t`, 't');
      publish(sse, 't', 2, 3);
      const after = await open(`${url}/bare?topic=t`, { lastEventId });
      expect((await opened(after)).resumed).toBe('full');
      expect(await everything(after, sse, 't')).toEqual([2, 3]);
      after.close();
    });

    it('R15: keeps the cursor of a client that follows nothing, until it first does', async () => {
      const { url, sse } = await start();
      const lastEventId = await leaveAfterFirst(sse, `${url}/bare?topic=t`, 't');
      publish(sse, 't', 2, 3);
      const after = await open(`${url}/bare`, { lastEventId });
      const { clientId } = await opened(after);
      publish(sse, 't', 4, 4);
      await turn();
      expect(after.messages).toEqual([]);
      sse.subscribe(clientId, 't');
      expect(await everything(after, sse, 't')).toEqual([2, 3, 4]);
      after.close();
    });

    it('R15: counts a later topic from the head, and says so when that skips something', async () => {
      const { url, sse } = await start();
      const lastEventId = await leaveAfterFirst(sse, `${url}/bare?topic=a`, 'a');
      publish(sse, 'b', 2, 2);
      const after = await open(`${url}/bare?topic=a`, { lastEventId });
      const { clientId } = await opened(after);
      await turn();
      sse.subscribe(clientId, 'b');
      sse.subscribe(clientId, 'c');
      publish(sse, 'b', 3, 3);
      expect(await everything(after, sse, 'b')).toEqual([3]);
      expect(resets(after)).toEqual([{ reason: 'late', topics: ['b'] }]);
      after.close();
    });

    it('a topic counts only while it is followed, both when it was published and when it is written', async () => {
      const { url, sse } = await start();
      const stream = await open(`${url}/bare?topic=a`);
      const { clientId } = await opened(stream);
      publish(sse, 'b', 1, 1);
      sse.subscribe(clientId, 'b');
      publish(sse, 'b', 2, 2);
      publish(sse, 'a', 3, 3);
      sse.unsubscribe(clientId, 'a');
      publish(sse, 'b', 4, 4);
      expect(await stream.messagesUpTo(2)).toEqual([2, 4]);
      stream.close();
    });
  });
}
