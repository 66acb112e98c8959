import { setTimeout as delay } from 'node:timers/promises';

import { Body, Controller, Delete, HttpCode, Inject, Param, Post, Query, Res, type Type } from '@nestjs/common';
import { type ClientOptions, EventStream, SSEService } from 'nestjs-sse-hub';

import { type AgentEvent, agentEventsOf, type Answer, answerOf, type Chunk, chunksOf } from './text.js';

type PlannedEnd = NonNullable<ClientOptions['plannedEnd']>;

/** Of the answers with such a name the model fails in the middle. */
const FAILING = /^failing/;

async function* paced<T>(values: readonly T[], { id, pace }: Answer, signal: AbortSignal): AsyncGenerator<T> {
  for (const [n, value] of values.entries()) {
    if (FAILING.test(id) && n > values.length / 2) throw new Error('The model is overloaded.');
    // One that has to wait for nothing now and then, as those of real models.
    if (pace > 0 && Math.random() < 0.9) await delay(pace, undefined, { signal });
    yield value;
  }
}

interface Piece {
  readonly type: string;
}

/** Puts neighbours together that are deltas of one text. */
function joining<T extends Piece>(type: T['type']): (pieces: readonly T[]) => T | undefined {
  return (pieces) => {
    if (pieces.some((piece) => piece.type !== type)) return undefined;
    const delta = pieces.map((piece) => (piece as { readonly delta?: string }).delta).join('');
    return { ...pieces[0]!, delta };
  };
}

const joinedText = joining<Chunk>('text-delta');
const joinedContent = joining<AgentEvent>('TEXT_MESSAGE_CONTENT');

/** What the AI SDK's clients want of every answer. */
const OF_THE_AI_SDK = {
  controlEvents: false,
  headers: { 'x-vercel-ai-ui-message-stream': 'v1' },
} as const;

const ENDINGS = {
  last: { data: '[DONE]' },
  failed: { data: { type: 'error', errorText: 'The model is away.' } },
  cancelled: { data: { type: 'abort' } },
};

/** It asks again until it has read `finish`. */
const ENDINGS_OF_A_WORKFLOW = { ...ENDINGS, cancelled: { data: { type: 'finish', finishReason: 'other' } } };

const ENDINGS_OF_AN_AGENT = {
  failed: { data: { type: 'RUN_ERROR', message: 'The model is away.' } },
  cancelled: { data: { type: 'RUN_ERROR', message: 'Stopped.', code: 'abort' } },
};

/** Of Express and of Fastify. */
interface Response {
  header(name: string, value: string): void;
}

/** The routes that each kind of client asks for, once for each way in which streams may end that are to come back. */
export function chatsThatEnd(plannedEnd: PlannedEnd): Type<unknown>[] {
  /** For `DefaultChatTransport`, with the paths that it has unless it is told otherwise. */
  @Controller(`${plannedEnd}/ai/chat`)
  class ChatController {
    constructor(@Inject(SSEService) private readonly sse: SSEService) {}

    @EventStream('', { method: 'POST', plannedEnd, ...OF_THE_AI_SDK })
    start(@Body('id') id: string) {
      const answer = answerOf(id);
      return this.sse.run(`chat:${id}`, (signal) => paced(chunksOf(answer), answer, signal), {
        ...ENDINGS,
        merge: joinedText,
      });
    }

    @EventStream(':id/stream', { plannedEnd, ...OF_THE_AI_SDK, merge: joinedText })
    follow(@Param('id') id: string) {
      return this.sse.getRun(`chat:${id}`);
    }

    /** What it is not to be given. */
    @EventStream(':id/with-control-events', { plannedEnd })
    followAll(@Param('id') id: string) {
      return this.sse.getRun(`chat:${id}`);
    }

    @Delete(':id')
    @HttpCode(204)
    stop(@Param('id') id: string): void {
      this.sse.cancelRun(`chat:${id}`);
    }
  }

  /** For `WorkflowChatTransport`. It counts chunks: none are merged. */
  @Controller(`${plannedEnd}/workflow/chat`)
  class WorkflowController {
    constructor(@Inject(SSEService) private readonly sse: SSEService) {}

    @EventStream('', { method: 'POST', plannedEnd, ...OF_THE_AI_SDK })
    start(@Body('id') id: string, @Res({ passthrough: true }) response: Response) {
      const answer = answerOf(id);
      response.header('x-workflow-run-id', id);
      return this.sse.run(`chat:${id}`, (signal) => paced(chunksOf(answer), answer, signal), ENDINGS_OF_A_WORKFLOW);
    }

    @EventStream(':id/stream', { plannedEnd, ...OF_THE_AI_SDK })
    follow(
      @Param('id') id: string,
      @Query('startIndex') startIndex: string,
      @Res({ passthrough: true }) response: Response,
    ) {
      const run = this.sse.getRun(`chat:${id}`);
      if (!run) return undefined;
      const n = Number(startIndex);
      const from = n < 0 ? Math.max(0, run.events + n) : n;
      // Of a run that has ended without a `finish` it would ask for more at once, and for ever.
      if (run.state !== 'running' && from >= run.events) return undefined;
      response.header('x-workflow-stream-tail-index', String(run.events - 1));
      return { topics: run.topic, from };
    }

    @Delete(':id')
    @HttpCode(204)
    stop(@Param('id') id: string): void {
      this.sse.cancelRun(`chat:${id}`);
    }
  }

  /** For AG-UI's `HttpAgent`, which knows one request: whoever comes again with the same run gets that. */
  @Controller(`${plannedEnd}/agent`)
  class AgentController {
    constructor(@Inject(SSEService) private readonly sse: SSEService) {}

    @EventStream('', { method: 'POST', plannedEnd, controlEvents: false, merge: joinedContent })
    start(@Body() { threadId, runId }: { threadId: string; runId: string }) {
      const answer = answerOf(runId);
      const work = (signal: AbortSignal) => paced(agentEventsOf(answer, threadId), answer, signal);
      return this.sse.getRun(`chat:${runId}`) ?? this.sse.run(`chat:${runId}`, work, ENDINGS_OF_AN_AGENT);
    }

    @Delete(':id')
    @HttpCode(204)
    stop(@Param('id') id: string): void {
      this.sse.cancelRun(`chat:${id}`);
    }
  }

  /** For readers that come back with a last event ID. */
  @Controller(`${plannedEnd}/chat/:id`)
  class PlainController {
    constructor(@Inject(SSEService) private readonly sse: SSEService) {}

    @EventStream('', { method: 'POST', plannedEnd })
    start(@Param('id') id: string) {
      const answer = answerOf(id);
      const tokens = answer.tokens.map((token) => ({ token }));
      const work = (signal: AbortSignal) => paced(tokens, answer, signal);
      return this.sse.getRun(`chat:${id}`) ?? this.sse.run(`chat:${id}`, work, { last: { event: 'done', data: null } });
    }

    @EventStream('', { plannedEnd })
    follow(@Param('id') id: string) {
      return this.sse.getRun(`chat:${id}`);
    }

    /** Also of what begins later. */
    @EventStream('events', { plannedEnd })
    events(@Param('id') id: string) {
      return { topics: `chat:${id}`, from: 0 };
    }

    @Delete()
    @HttpCode(204)
    stop(@Param('id') id: string): void {
      this.sse.cancelRun(`chat:${id}`);
    }
  }

  return [ChatController, WorkflowController, AgentController, PlainController];
}

/** What tests do to a node. */
@Controller('node')
export class NodeController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  /** Ends the streams of a chat, which are to come back. Answers how many there were. */
  @Post('remove/:id')
  remove(@Param('id') id: string): { removed: number } {
    const clients = this.sse.getClientsByTopic(`chat:${id}`);
    return { removed: clients.filter((client) => this.sse.removeClient(client.id)).length };
  }

  @Post('state/:id')
  state(@Param('id') id: string) {
    return { run: this.sse.getRun(`chat:${id}`) ?? null, clients: this.sse.getClientsByTopic(`chat:${id}`).length };
  }
}
