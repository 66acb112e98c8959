import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { Controller, Get, Inject, Param, Res, Sse } from '@nestjs/common';
import { type NodeResponseLike, SSEModule, SSEService } from 'nestjs-sse-hub';

import { topicsOf } from './contenders/contender.js';
import { serverOf, startNest } from './contenders/nest-app.js';
import { serveParent } from './parent.js';
import { payloadOf } from './payload.js';
import type { SoakRequests, SoakSample } from './soak-messages.js';

/** Small limits, so that what is meant to fill up is full within seconds, and slow readers are given up in time. */
const CONFIG = {
  maxClients: Infinity,
  maxHistorySize: 100,
  maxHistoryAge: 10_000,
  slowTimeout: 4_000,
  heartbeatInterval: 2_000,
  maxConnectionAge: 20_000,
};
const PUBLISHING = 20;
const TOPICS = 20;
const BULK = 32_768;

@Controller()
class SoakController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @Get('direct/:topics')
  direct(@Param('topics') topics: string, @Res() response: NodeResponseLike): void {
    this.sse.createClient(response, { topics: topicsOf(topics) });
  }

  @Sse('stream/:topics')
  stream(@Param('topics') topics: string) {
    return this.sse.stream(topicsOf(topics));
  }

  @Get('web/:topics')
  web(@Param('topics') topics: string): Response {
    return this.sse.addClient({ topics: topicsOf(topics) }).response;
  }
}

let sse: SSEService | undefined;
const delays = monitorEventLoopDelay({ resolution: 1 });

/** Small events to all topics, more bytes than a slow reader's kernel buffers take, and topics that are soon finished. */
function publishOn(hub: SSEService): void {
  let turn = 0;
  setInterval(() => {
    turn++;
    for (let i = 0; i < 5; i++) hub.broadcast(`topic-${(turn * 5 + i) % TOPICS}`, 'tick', payloadOf(120));
    hub.broadcast('bulk', 'tick', payloadOf(BULK));
    if (turn % 10 === 0) {
      hub.broadcast(`job-${turn}`, 'done', payloadOf(120));
      hub.closeTopic(`job-${turn}`);
    }
  }, PUBLISHING);
}

async function heapFloor(): Promise<number> {
  let floor = Infinity;
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await sleep(10);
    floor = Math.min(floor, process.memoryUsage().heapUsed);
  }
  return floor;
}

async function sample(): Promise<SoakSample> {
  const delay = { p99: delays.percentile(99) / 1e6, max: delays.max / 1e6 };
  delays.disable();
  const heap = await heapFloor();
  delays.reset();
  delays.enable();
  const { clients, published, delivered, slow } = sse!.stats();
  return { heap, rss: process.memoryUsage().rss, delay, clients, published, delivered, slow };
}

serveParent<SoakRequests>({
  start: async ({ platform }) => {
    const app = await startNest(platform, SoakController, [SSEModule.forRoot(CONFIG)]);
    const hub = app.get(SSEService);
    sse = hub;
    publishOn(hub);
    delays.enable();
    return { port: serverOf(app).port };
  },
  sample,
});
