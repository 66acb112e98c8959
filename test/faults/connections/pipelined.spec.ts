import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { Controller, Get } from '@nestjs/common';

import { returnToBaseline, until } from '../../support/baseline.js';
import { RawConnection } from '../../support/network/raw-connection.js';
import { fillUp, neverReading } from '../../support/network/stuck.js';
import { platforms } from '../../support/platforms.js';
import { RecordedLogger } from '../../support/recorded-logger.js';
import { transports, web } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('C11: 1,000 requests pipelined on one connection are one stream and one slot, and nothing is left of them when it closes', async () => {
        const logger = new RecordedLogger();
        const { url, sse } = await bench.start(platform, {
          // Node reads no more from a connection like this one: writing to it is what finds out that the client has left.
          config: { maxClients: 2, heartbeatInterval: 200 },
          controllers: [transport.controller()],
          nest: { logger },
        });
        const connection = await RawConnection.open(url);
        bench.onEnd(() => connection.close());
        for (let i = 0; i < 1_000; i++) connection.get('/events/t');
        await connection.until(() => connection.text.includes('sse.open'));
        await until('others have been turned away', () => sse.stats().refused > 100);
        expect(sse.getClientCount()).toBe(1);
        const newcomer = await bench.connect(`${url}/events/t`);
        for (let n = 0; n < 10; n++) sse.broadcast('t', 'n', n);
        await connection.until(() => connection.text.includes('data: 9\n'));
        await newcomer.messagesUpTo(10);
        expect(connection.text.match(/HTTP\/1\.1 200/g)).toHaveLength(1);
        connection.close();
        await until('only the newcomer is left', () => sse.getClientCount() === 1);
        newcomer.close();
        await until('nobody is left', () => sse.getClientCount() === 0);
        expect(logger.lines.filter(({ level }) => level !== 'log')).toEqual([]);
      });

      it('C11: a request that is pipelined behind a stream is asked, in its turn, to come back', async () => {
        const { url, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const connection = await RawConnection.open(url);
        bench.onEnd(() => connection.close());
        const cursor = await sse.publish('b', 'n', 'before');
        connection.get('/events/a');
        connection.get('/events/b', { headers: `Last-Event-ID: ${cursor}\r\n` });
        await until('the second is turned away', () => sse.stats().refused === 1);
        expect(sse.getClientCount()).toBe(1);
        sse.broadcast('a', 'n', 'first');
        await connection.until(() => connection.text.includes('first'));
        expect(connection.text).not.toContain('sse.busy');
        sse.closeTopic('a');
        const last = '\r\n0\r\n\r\n';
        await connection.until(() => connection.text.split(last).length === 3);
        const [first = '', second = ''] = connection.text.split(last);
        expect(first).toContain('event: sse.end\n');
        expect(second).toContain(`event: sse.busy\nid: ${cursor}\nretry: `);
        expect(second).toContain('data: {"reason":"pipelined"}');
        connection.text = '';
        // Nobody is in its way any more.
        connection.get('/events/b', { headers: `Last-Event-ID: ${cursor}\r\n` });
        await connection.until(() => connection.text.includes('"resumed":"full"'));
      });

      it('C11: a request that is pipelined behind another answer is a stream in its turn, the only one of its connection', async () => {
        let answer = (): void => {};
        @Controller()
        class WaitingController {
          @Get('waiting')
          async waiting(): Promise<string> {
            await new Promise<void>((resolve) => (answer = resolve));
            return 'the answer before it';
          }
        }
        const { url, sse } = await bench.start(platform, { controllers: [transport.controller(), WaitingController] });
        const connection = await RawConnection.open(url);
        bench.onEnd(() => connection.close());
        connection.get('/waiting');
        for (let i = 0; i < 10; i++) connection.get('/events/t');
        await until('all are answered but for one', () => sse.stats().refused === 9 && sse.getClientCount() === 1);
        for (let n = 0; n < 5; n++) sse.broadcast('t', 'n', n);
        await sleep(20);
        expect(connection.text).toBe('');
        answer();
        await connection.until(() => connection.text.includes('data: 4\n'));
        sse.broadcast('t', 'n', 5);
        await connection.until(() => connection.text.includes('data: 5\n'));
        const [, before = '', stream = ''] = connection.text.split('HTTP/1.1 200 OK\r\n');
        expect(before.endsWith('the answer before it')).toBe(true);
        expect(stream.match(/data: \d\n/g)).toHaveLength(6);
      });
    });
  }

  describe(`addClient() on ${platform.name}`, () => {
    it('C11: logs nothing of clients that leave, stop reading, or are still there at the end of the shutdown', async () => {
      const logger = new RecordedLogger();
      const running = await bench.start(platform, {
        config: { slowTimeout: 300, drainTimeout: 300 },
        controllers: [web.controller()],
        nest: { logger },
      });
      const { url, sse } = running;
      const stream = await bench.connect(`${url}/events/t`);
      stream.close();
      await until('it has left', () => sse.getClientCount() === 0);
      await neverReading(bench, `${url}/events/t`);
      await until('it is a client', () => sse.getClientCount() === 1);
      await fillUp(sse, 't');
      await until('it is given up', () => sse.stats().slow === 1);
      await neverReading(bench, `${url}/events/u`);
      await until('it is a client', () => sse.getClientCount() === 1);
      for (let n = 0; n < 200; n++) sse.broadcast('u', 'n', 'x'.repeat(64_000));
      await running.close();
      expect(sse.getClientCount()).toBe(0);
      expect(logger.lines.filter(({ level }) => level !== 'log')).toEqual([]);
    });
  });
}
