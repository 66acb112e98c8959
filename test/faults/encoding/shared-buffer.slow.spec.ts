import { once } from 'node:events';
import net, { type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';

import { closeAll, platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { type Reading } from '../../support/readers/readers.js';
import { type ReplayServer } from '../../support/readers/replay-server.js';
import { direct } from '../../support/stream-controllers.js';

const MIB = 1024 * 1024;

const readings: Reading[] = [];
let replay: ReplayServer | undefined;

afterEach(async () => {
  for (const reading of readings.splice(0)) reading.close();
  await replay?.close();
  replay = undefined;
  await closeAll();
});

for (const platform of platforms) {
  // Through @Sse() Nest makes a text of its own for every client, and a web response has to copy what it hands over.
  describe(`Encoding: createClient() on ${platform.name}`, () => {
    it('E8: shares one buffer of 1 MiB between 1,000 clients', async () => {
      const { app, sse, url } = await startApp(platform, {
        config: { maxClients: 2_000 },
        controllers: [direct.controller()],
      });
      const written: Buffer[] = [];
      (app.getHttpServer() as net.Server).on('connection', (socket: Socket) => spyOnWrites(socket, written));
      const stalled = await connectWithoutReading(url, 1_000);
      const reader = await open(`${url}/events/topic`);
      await reader.next();
      expect(sse.getClientCount('topic')).toBe(1_001);

      const before = process.memoryUsage();
      sse.broadcast('topic', 'name', 'x'.repeat(MIB));
      await reader.until(() => reader.messages.length === 1);
      await sleep(200);
      const after = process.memoryUsage();

      expect(reader.messages[0]!.data).toHaveLength(MIB);
      expect(written).toHaveLength(1_001);
      expect(new Set(written).size).toBe(1);
      expect((after.external - before.external) / MIB).toBeLessThan(300);
      expect((after.arrayBuffers - before.arrayBuffers) / MIB).toBeLessThan(300);
      expect((after.rss - before.rss) / MIB).toBeLessThan(300);
      for (const socket of stalled) socket.destroy();
      reader.close();
    });
  });
}

/** Keeps the large buffers that are written to a socket of the server. */
function spyOnWrites(socket: Socket, written: Buffer[]): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  socket.write = (...args: unknown[]) => {
    const [chunk] = args;
    if (Buffer.isBuffer(chunk) && chunk.length >= MIB) written.push(chunk);
    return write(...args);
  };
}

/** Clients that stop reading after the first bytes. They share one buffer, so that only the server's memory grows. */
async function connectWithoutReading(url: string, count: number): Promise<Socket[]> {
  const { hostname: host, port } = new URL(url);
  const buffer = new Uint8Array(1_024);
  const connectOne = async (): Promise<Socket> => {
    let started = (): void => {};
    const answered = new Promise<void>((resolve) => {
      started = resolve;
    });
    const onread = {
      buffer,
      callback: (): boolean => {
        started();
        return false;
      },
    };
    const socket = net.connect({ host, port: Number(port), onread });
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write('GET /events/topic HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await answered;
    return socket;
  };
  return Promise.all(Array.from({ length: count }, connectOne));
}
