import { once } from 'node:events';

import { describe, expect, it } from '@jest/globals';
import { Module } from '@nestjs/common';
import { WsAdapter } from '@nestjs/platform-ws';
import { MemoryBackplane } from 'nestjs-sse-hub';
import { WebSocket } from 'undici';

import { returnToBaseline } from '../../support/baseline.js';
import { type Platform, platforms, type RunningApp } from '../../support/platforms.js';
import { BoardController } from './websockets/board.controller.js';
import { BoardGateway } from './websockets/board.gateway.js';

/** docs/recipes/websockets.md: a gateway and event streams on one port. */

const bench = returnToBaseline();

@Module({ controllers: [BoardController], providers: [BoardGateway] })
class BoardModule {}

function start(platform: Platform, backplane = new MemoryBackplane()): Promise<RunningApp> {
  return bench.start(platform, {
    config: { backplane },
    imports: [BoardModule],
    prepare: (app) => void app.useWebSocketAdapter(new WsAdapter(app)),
  });
}

interface Pen {
  draw(...points: number[]): void;
  readonly socket: WebSocket;
}

async function takePen({ url }: RunningApp): Promise<Pen> {
  const socket = new WebSocket(`${url.replace('http:', 'ws:')}/board`);
  await once(socket, 'open');
  bench.onEnd(() => socket.close());
  const draw = (...points: number[]) => socket.send(JSON.stringify({ event: 'draw', data: { board: 7, points } }));
  return { draw, socket };
}

for (const platform of platforms) {
  describe(`a gateway and event streams on one port of ${platform.name}`, () => {
    it('what is sent to the gateway comes out of the streams, each once and in order, also after a cut', async () => {
      const running = await start(platform);
      const [watched, cut] = [
        await bench.stream(running.app, '/boards/7/events'),
        await bench.stream(running.app, '/boards/7/events'),
      ];
      const pen = await takePen(running);
      pen.draw(1);
      expect((await cut.next('drawn')).data).toEqual([1]);
      cut.cut();
      pen.draw(2, 3);
      expect((await watched.take(2)).map(({ data }) => data)).toEqual([[1], [2, 3]]);
      await cut.resume();
      pen.draw(4);
      expect((await cut.take(2)).map(({ data }) => data)).toEqual([[2, 3], [4]]);
      pen.socket.close();
      await once(pen.socket, 'close');
      running.sse.broadcast('board:7', 'drawn', [5]);
      expect((await watched.take(2)).map(({ data }) => data)).toEqual([[4], [5]]);
    });

    it('they may be on two nodes', async () => {
      const backplane = new MemoryBackplane();
      const [here, there] = [await start(platform, backplane), await start(platform, backplane)];
      const stream = await bench.stream(there.app, '/boards/7/events');
      (await takePen(here)).draw(1);
      expect((await stream.next('drawn')).data).toEqual([1]);
    });

    it('both end when the application closes', async () => {
      const running = await start(platform);
      const stream = await bench.stream(running.app, '/boards/7/events');
      const { socket } = await takePen(running);
      const closed = once(socket, 'close');
      await running.close();
      await Promise.all([stream.ended(), closed]);
    });
  });
}
