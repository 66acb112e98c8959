import { Controller, Get, Inject, Param, Query, Res, Sse, type Type } from '@nestjs/common';
import { type ClientOptions, EventStream, type NodeResponseLike, SSEService } from 'nestjs-sse-hub';

/** A way to put a topic's events on a connection, as applications do. */
export interface Transport {
  readonly name: string;
  /** A controller with `GET /events/:topics`, the topics separated by commas. */
  readonly controller: (options?: () => Omit<ClientOptions, 'topics'>) => Type<unknown>;
}

function topicsOf(topics: string): string[] {
  return topics.split(',');
}

const direct: Transport = {
  name: 'createClient()',
  controller: (options = () => ({})) => {
    @Controller()
    class DirectController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('events/:topics')
      events(@Param('topics') topics: string, @Res() response: NodeResponseLike): void {
        this.sse.createClient(response, { topics: topicsOf(topics), ...options() });
      }
    }
    return DirectController;
  },
};

const nestSse: Transport = {
  name: '@Sse() with stream()',
  controller: (options = () => ({})) => {
    @Controller()
    class SseController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Sse('events/:topics')
      events(@Param('topics') topics: string) {
        return this.sse.stream(topicsOf(topics), options());
      }
    }
    return SseController;
  },
};

const web: Transport = {
  name: 'addClient()',
  controller: (options = () => ({})) => {
    @Controller()
    class WebController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('events/:topics')
      events(@Param('topics') topics: string, @Query('fail') fail?: string): Response {
        const { response } = this.sse.addClient({ topics: topicsOf(topics), ...options() });
        if (fail !== undefined) throw new Error('The handler fails after addClient().');
        return response;
      }
    }
    return WebController;
  },
};

const eventStream: Transport = {
  name: '@EventStream()',
  controller: (options = () => ({})) => {
    @Controller()
    class EventStreamController {
      @EventStream('events/:topics')
      events(@Param('topics') topics: string): ClientOptions {
        return { topics: topicsOf(topics), ...options() };
      }
    }
    return EventStreamController;
  },
};

/** What an application has beside its streams: `GET /plain`. */
@Controller()
export class PlainController {
  @Get('plain')
  plain(): string {
    return 'plain answer';
  }
}

export const transports: readonly Transport[] = [direct, nestSse, web];
/** With the one that is `createClient()` below: for what happens before a stream is open. */
export const allTransports: readonly Transport[] = [...transports, eventStream];
export { direct, nestSse, web };
