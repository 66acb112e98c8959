import { Controller, Get, Inject, Param, Res, Sse } from '@nestjs/common';
import { EventStream, type NodeResponseLike, type SSEConfig, SSEModule, SSEService } from 'nestjs-sse-hub';

import { type Contender, EVENT_NAME, topicsOf } from './contender.js';
import { type Platform, serverOf, startNest } from './nest-app.js';

@Controller()
class DirectController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @Get('events/:topics')
  events(@Param('topics') topics: string, @Res() response: NodeResponseLike): void {
    this.sse.createClient(response, { topics: topicsOf(topics) });
  }
}

@Controller()
class EventStreamController {
  @EventStream('events/:topics')
  events(@Param('topics') topics: string) {
    return topicsOf(topics);
  }
}

@Controller()
class WebController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @Get('events/:topics')
  events(@Param('topics') topics: string): Response {
    return this.sse.addClient({ topics: topicsOf(topics) }).response;
  }
}

@Controller()
class StreamController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @Sse('events/:topics')
  events(@Param('topics') topics: string) {
    return this.sse.stream(topicsOf(topics));
  }
}

interface Variant {
  readonly label: string;
  readonly controller:
    typeof DirectController | typeof EventStreamController | typeof WebController | typeof StreamController;
  readonly config?: SSEConfig;
  readonly http2?: boolean;
}

function hub(platform: Platform, { label, controller, config, http2 = false }: Variant): Contender {
  return {
    label: `${label}, ${platform}`,
    role: 'ours',
    ...(config?.compression && { gzip: true }),
    http2,
    async start({ history }) {
      // Its history is on as it is by default; only a replay storm needs more than a thousand events.
      const module = SSEModule.forRoot({ maxClients: Infinity, ...config, ...(history && { maxHistorySize: 10_000 }) });
      const app = await startNest(platform, controller, [module], { http2 });
      const sse = app.get(SSEService);
      return {
        ...serverOf(app),
        publish: (topic, payload) => sse.broadcast(topic, EVENT_NAME, payload),
        clients: () => sse.getClientCount(),
      };
    },
  };
}

const direct: Variant = { label: 'createClient()', controller: DirectController };
const web: Variant = { label: 'addClient()', controller: WebController };
const multiplexed: Variant = { ...direct, label: 'createClient() HTTP/2', http2: true };
const gzip: Variant = { label: 'createClient() gzip', controller: DirectController, config: { compression: true } };
/** Of the events that come one by one, what 50 ms bring leaves together. */
const PACE: SSEConfig = { flushInterval: 50 };
const paced: Variant = { label: 'createClient() flushInterval', controller: DirectController, config: PACE };
const pacedThroughNest: Variant = { label: 'stream() flushInterval', controller: StreamController, config: PACE };
const eventStream: Variant = { label: '@EventStream()', controller: EventStreamController };
const stream: Variant = { label: 'stream()', controller: StreamController };

export const directExpress = hub('Express', direct);
export const directFastify = hub('Fastify', direct);
export const eventStreamExpress = hub('Express', eventStream);
export const eventStreamFastify = hub('Fastify', eventStream);
export const webExpress = hub('Express', web);
export const webFastify = hub('Fastify', web);
export const directHttp2 = hub('Fastify', multiplexed);
export const gzipExpress = hub('Express', gzip);
export const gzipFastify = hub('Fastify', gzip);
export const pacedExpress = hub('Express', paced);
export const pacedFastify = hub('Fastify', paced);
export const pacedStream = hub('Fastify', pacedThroughNest);
export const streamExpress = hub('Express', stream);
export const streamFastify = hub('Fastify', stream);
