import { describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../../support/baseline.js';
import { Proxy } from '../../support/network/proxy.js';
import { RawConnection } from '../../support/network/raw-connection.js';
import { platforms } from '../../support/platforms.js';
import { RecordedEventSource } from '../../support/readers/event-source.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('C6: speaks HTTP/1.0: no chunks, and the end of the connection is the end of the stream', async () => {
        const { url, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const connection = await RawConnection.open(url);
        bench.onEnd(() => connection.close());
        connection.get('/events/t', { version: '1.0' });
        await connection.until(() => connection.text.includes('sse.open'));
        sse.broadcast('t', 'n', 1);
        sse.closeTopic('t');
        await connection.until(() => connection.closed);
        const [head = '', body = ''] = connection.text.split('\r\n\r\n');
        expect(head.toLowerCase()).not.toContain('transfer-encoding');
        // Nest begins its streams with an empty line.
        expect(body.trimStart().startsWith('event: sse.open\nid: 1~')).toBe(true);
        expect(body).toContain('data: 1\n\n');
        expect(body.endsWith('event: sse.end\nid: 1~end\ndata: {}\n\n')).toBe(true);
      });

      it('C6: answers HEAD with the headers, and takes no slot', async () => {
        const { url, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const stream = await bench.open(`${url}/events/t`, { method: 'HEAD' });
        expect(stream.status).toBe(200);
        expect(stream.response.headers['content-type']).toMatch(/^text\/event-stream/);
        await stream.untilEnd();
        expect(stream.raw).toBe('');
        expect(sse.getClientCount()).toBe(0);
      });

      it('C6: comes whole through a proxy that splits every byte, both ways', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { retryInterval: 10 },
          controllers: [transport.controller()],
        });
        const proxy = await Proxy.start(url);
        bench.onEnd(() => proxy.close());
        proxy.toServer.splitting = true;
        proxy.toClient.splitting = true;
        const source = RecordedEventSource.open(bench, `${proxy.url}/events/t`, ['n']);
        await source.untilCount('sse.open', 1);
        const sent = ['a\nb', 'ä漢😀', ' : data: x', { nested: ['é', '\u2028'] }, 'x'.repeat(2_000)];
        for (const [n, data] of sent.entries()) {
          sse.broadcast('t', 'n', JSON.stringify(data));
          await source.untilCount('n', n + 1);
          // It resumes from what came before the cut, its last event ID split as well.
          if (n === 2) proxy.cut();
        }
        expect(source.data).toEqual(sent);
        expect(source.count('sse.reset')).toBe(0);
        expect(source.attempts).toHaveLength(2);
      });
    });
  }
}
