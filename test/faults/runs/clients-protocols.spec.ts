import { HttpAgent } from '@ag-ui/client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Body, Controller, Inject, Param } from '@nestjs/common';
import {
  convertToModelMessages,
  DefaultChatTransport,
  simulateReadableStream,
  streamText,
  type UIMessage,
  type UIMessageChunk,
} from 'ai';
import { MockLanguageModelV3 } from 'ai/test';
import { EventSource } from 'eventsource';
import { EventStream, SSEService } from 'nestjs-sse-hub';

import { until } from '../../support/baseline.js';
import { ChatNodes } from '../../support/chats/chat-nodes.js';
import { asked, listen, PageChat, passingOver, readFetched, workflowTransport } from '../../support/chats/clients.js';
import { type Answer, answerOf } from '../../support/chats/server/text.js';
import { Entrance } from '../../support/network/entrance.js';
import { closeAll, platforms, startApp } from '../../support/platforms.js';
import { buildChats } from '../../support/processes/standalone.js';
import { hasNewestReaders } from '../../support/readers/reconnecting-readers.js';

/** Milliseconds. */
const SLOW = 10;

let built: Awaited<ReturnType<typeof buildChats>>;
let nodes: ChatNodes;
let entrance: Entrance;
let answer: Answer;
let given = 0;

beforeAll(async () => {
  built = await buildChats();
  nodes = await ChatNodes.start(built.folder, undefined);
});

afterAll(async () => {
  await nodes.end();
  await built.remove();
});

beforeEach(async () => {
  entrance = await Entrance.open({ choose: () => nodes.first, hasLeft: () => false });
  answer = answerOf(`answer-${given++}.100.${SLOW}`);
});

afterEach(() => {
  jest.restoreAllMocks();
  entrance.close();
});

/** Begins the answer, as somebody who leaves at once. */
async function begin(path = 'cut/ai/chat', { id } = answer): Promise<void> {
  const response = await fetch(`${nodes.first}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id }),
  });
  await response.body!.cancel();
}

async function untilEvents(count: number, { id } = answer): Promise<void> {
  await until(`${count} events`, async () => ((await nodes.stateOf(id)).run?.events ?? 0) >= count);
}

async function untilOver({ id } = answer): Promise<void> {
  await until('it is over', async () => (await nodes.stateOf(id)).run?.state !== 'running');
}

async function stop(path = 'cut/ai/chat', { id } = answer): Promise<void> {
  const response = await fetch(`${nodes.first}/${path}/${id}`, { method: 'DELETE' });
  expect(response.status).toBe(204);
}

async function read(stream: ReadableStream<UIMessageChunk> | null): Promise<UIMessageChunk[]> {
  const chunks: UIMessageChunk[] = [];
  for await (const chunk of stream!) chunks.push(chunk);
  return chunks;
}

function textOf(message: UIMessage | undefined): string {
  return message?.parts.map((part) => (part.type === 'text' ? part.text : '')).join('') ?? '';
}

function text(tokens = answer.tokens): string {
  return tokens.join('');
}

/** As a page that has been loaded with these messages. */
function page(messages: UIMessage[] = []): PageChat {
  const transport = new DefaultChatTransport<UIMessage>({ api: `${entrance.url}/cut/ai/chat` });
  return new PageChat({ id: answer.id, transport, messages });
}

const QUESTION: UIMessage = { id: 'q', role: 'user', parts: [{ type: 'text', text: '?' }] };

describe('the AI SDK', () => {
  it('passes over comments and blocks of an id alone', async () => {
    answer = answerOf(`answer-${given}.15.60`);
    const response = await fetch(`${nodes.first}/cut/ai/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ id: answer.id }),
    });
    expect(response.headers.get('x-vercel-ai-ui-message-stream')).toBe('v1');
    const wire = await response.text();
    expect(wire).toMatch(/^:\n/m);
    expect(wire).toMatch(/^id: 1~\S+\n(?:retry: \d+\n)?\n/m);
    expect(wire).not.toMatch(/^event:/m);
    expect(wire).toMatch(/data: \[DONE\]\n\n(?:id: 1~end\n\n)?$/);
    const transport = new DefaultChatTransport({ api: `${entrance.url}/cut/ai/chat` });
    const chunks = await read(await transport.reconnectToStream({ chatId: answer.id }));
    expect(chunks.at(0)).toEqual({ type: 'start', messageId: answer.id });
    expect(chunks.at(-1)).toEqual({ type: 'finish', finishReason: 'stop' });
  });

  it('takes control events for chunks, and fails', async () => {
    await begin();
    const transport = new DefaultChatTransport({
      prepareReconnectToStreamRequest: ({ id }) => ({
        api: `${entrance.url}/cut/ai/chat/${id}/with-control-events`,
      }),
    });
    const reading = transport.reconnectToStream({ chatId: answer.id }).then(read);
    await expect(reading).rejects.toMatchObject({ name: 'AI_TypeValidationError' });
  });

  it('gets few and long deltas when it comes late, and each of those that follow', async () => {
    await begin();
    await untilEvents(60);
    const transport = new DefaultChatTransport({ api: `${entrance.url}/cut/ai/chat` });
    const chunks = await read(await transport.reconnectToStream({ chatId: answer.id }));
    const deltas = chunks.flatMap((chunk) => (chunk.type === 'text-delta' ? [chunk.delta] : []));
    expect(deltas.join('')).toBe(text());
    expect(deltas[0]).toContain(text(answer.tokens.slice(0, 50)));
    expect(deltas.length).toBeGreaterThan(10);
    expect(deltas.length).toBeLessThan(60);
  });

  it('shows a page that is loaded in the middle all of it, and one that is loaded behind the end no more than it had', async () => {
    await begin();
    await untilEvents(30);
    const first = page([QUESTION]);
    await first.resumeStream();
    expect(first.messages).toHaveLength(2);
    expect(textOf(first.lastMessage)).toBe(text());
    const second = page(first.messages);
    await second.resumeStream();
    expect(second.messages).toEqual(first.messages);
    expect(second.status).toBe('ready');
  });

  it('is told 204 where nothing was ever asked, and has nothing to resume', async () => {
    const chat = page([QUESTION]);
    await chat.resumeStream();
    expect(chat.messages).toEqual([QUESTION]);
    expect(chat.status).toBe('ready');
    expect(entrance.requests).toBe(1);
  });

  it('keeps what it has when the answer is stopped, and asks for no more', async () => {
    const chat = page();
    const sending = chat.sendMessage({ text: '?' });
    await untilEvents(40);
    await stop();
    await sending;
    expect(chat.status).toBe('ready');
    const shown = textOf(chat.lastMessage);
    expect(text()).toContain(shown);
    expect(shown.length).toBeGreaterThan(text(answer.tokens.slice(0, 30)).length);
    expect((await nodes.stateOf(answer.id)).run?.state).toBe('cancelled');
    expect(entrance.requests).toBe(1);
  });

  it('leaves with stop(), and the answer goes on', async () => {
    const chat = page();
    const sending = chat.sendMessage({ text: '?' });
    await untilEvents(10);
    await chat.stop();
    await sending;
    await until('it has left', async () => (await nodes.stateOf(answer.id)).clients === 0);
    await untilOver();
    expect((await nodes.stateOf(answer.id)).run?.state).toBe('finished');
    await chat.resumeStream();
    expect(textOf(chat.lastMessage)).toBe(text());
    expect(chat.messages.map(({ role }) => role)).toEqual(['user', 'assistant']);
  });

  it('has the error that it is told of when the model fails, behind what there was', async () => {
    answer = answerOf(`failing-${given}.40.1`);
    const chat = page();
    await chat.sendMessage({ text: '?' });
    expect(chat.status).toBe('error');
    expect(chat.error).toMatchObject({ message: 'The model is away.' });
    expect(textOf(chat.lastMessage).length).toBeGreaterThan(0);
    expect(text()).toContain(textOf(chat.lastMessage));
    expect(entrance.requests).toBe(1);
  });
});

describe('a model of the AI SDK', () => {
  /** Says the tokens of an answer, or fails behind them. */
  function model(tokens: readonly string[], error?: unknown): MockLanguageModelV3 {
    const usage = { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 };
    return new MockLanguageModelV3({
      doStream: {
        stream: simulateReadableStream({
          chunkDelayInMs: 5,
          chunks: [
            { type: 'text-start', id: 't' },
            ...tokens.map((delta) => ({ type: 'text-delta' as const, id: 't', delta })),
            ...(error === undefined ? [] : [{ type: 'error' as const, error }]),
            { type: 'text-end', id: 't' },
            {
              type: 'finish',
              finishReason: { unified: 'stop', raw: undefined },
              usage: { inputTokens: usage, outputTokens: { total: 1, text: 1, reasoning: 0 } },
            },
          ],
        }),
      },
    });
  }

  async function serve(source: MockLanguageModelV3): Promise<{ chat: PageChat; sse: SSEService }> {
    const joined = (chunks: readonly UIMessageChunk[]): UIMessageChunk | undefined => {
      const deltas = chunks.flatMap((chunk) => (chunk.type === 'text-delta' ? [chunk.delta] : []));
      return deltas.length === chunks.length ? ({ ...chunks[0], delta: deltas.join('') } as UIMessageChunk) : undefined;
    };

    @Controller('chat')
    class ChatController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @EventStream('', { method: 'POST', plannedEnd: 'cut', controlEvents: false })
      start(@Body() { id, messages }: { id: string; messages: UIMessage[] }) {
        const answering = async (abortSignal: AbortSignal) => {
          const prompt = await convertToModelMessages(messages);
          const answer = streamText({ model: source, messages: prompt, abortSignal, onError: () => {} });
          return answer.toUIMessageStream({ originalMessages: messages, generateMessageId: () => `answer-to-${id}` });
        };
        return this.sse.run(`chat:${id}`, answering, { last: { data: '[DONE]' }, merge: joined });
      }

      @EventStream(':id/stream', { plannedEnd: 'cut', controlEvents: false, merge: joined })
      follow(@Param('id') id: string) {
        return this.sse.getRun(`chat:${id}`);
      }
    }

    const { sse, url } = await startApp(platforms[0]!, { controllers: [ChatController] });
    const transport = new DefaultChatTransport<UIMessage>({ api: `${url}/chat` });
    return { chat: new PageChat({ id: answer.id, transport }), sse };
  }

  afterEach(() => closeAll());

  it('is the source of a run as it is', async () => {
    const { chat, sse } = await serve(model(answer.tokens));
    const sending = chat.sendMessage({ text: '?' });
    await until('some of it is there', () => textOf(chat.lastMessage).includes('<40>'));
    for (const { id } of sse.getClients()) sse.removeClient(id);
    await sending;
    expect(chat.error).toMatchObject({ message: 'terminated' });
    await chat.resumeStream();
    expect(chat.messages.slice(1)).toMatchObject([{ id: `answer-to-${answer.id}`, role: 'assistant' }]);
    expect(textOf(chat.lastMessage)).toBe(text());
    expect(sse.getRun(`chat:${answer.id}`)).toMatchObject({ state: 'finished' });
  });

  it('says itself that it has failed, and the run has finished then', async () => {
    const { chat, sse } = await serve(model(answer.tokens.slice(0, 10), new Error('overloaded')));
    await chat.sendMessage({ text: '?' });
    expect(chat.error).toMatchObject({ message: 'An error occurred.' });
    expect(textOf(chat.lastMessage)).toBe(text(answer.tokens.slice(0, 10)));
    await until('it is over', () => sse.getRun(`chat:${answer.id}`)?.state === 'finished');
  });
});

(hasNewestReaders ? describe : describe.skip)('WorkflowChatTransport', () => {
  const PATH = 'cut/workflow/chat';
  let asksFor: string[];

  /** Its fetch, which writes down where it begins. */
  const seen = (url: string, init: RequestInit): Promise<Response> => {
    asksFor.push(new URL(url).searchParams.get('startIndex') ?? 'all');
    return fetch(url, init);
  };

  const transport = (options: object = {}) => workflowTransport(`${entrance.url}/${PATH}`, { fetch: seen, ...options });

  beforeEach(() => {
    asksFor = [];
    jest.spyOn(console, 'error').mockImplementation(() => {});
  });

  it('asks for the number of the chunk that it has not got yet', async () => {
    const chunks: UIMessageChunk[] = [];
    const startsAt: string[] = [];
    for await (const chunk of await (await transport()).sendMessages(asked(answer))) {
      chunks.push(chunk);
      if (chunks.length % 30 === 0) {
        entrance.cut();
        startsAt.push(String(chunks.length));
      }
    }
    expect(asksFor[0]).toBe('all');
    // What came with what it was told of last, it has too.
    const differences = asksFor.slice(1).map((index, i) => Number(index) - Number(startsAt[i]));
    expect(differences.length).toBeGreaterThan(2);
    expect(Math.min(...differences)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...differences)).toBeLessThan(10);
    expect(chunks).toHaveLength(answer.tokens.length + 4);
  });

  it('counts on from where a negative index was, and drops text whose beginning it has not got', async () => {
    await begin(PATH);
    await untilEvents(50);
    const warnings = jest.spyOn(console, 'warn').mockImplementation(() => {});
    const reading = transport({ initialStartIndex: -10 })
      .then((late) => late.reconnectToStream({ chatId: answer.id }))
      .then(read);
    await untilEvents(70);
    const { events } = (await nodes.stateOf(answer.id)).run!;
    entrance.cut();
    expect(await reading).toEqual([{ type: 'finish', finishReason: 'stop' }]);
    expect(warnings).toHaveBeenCalledWith(expect.stringContaining('Dropping orphan UI chunk'));
    expect(asksFor).toEqual(['-10', expect.stringMatching(/^\d+$/)]);
    expect(Number(asksFor[1]) - events).toBeGreaterThanOrEqual(-2);
    expect(Number(asksFor[1]) - events).toBeLessThan(10);
  });

  it('comes to its end when the answer is stopped', async () => {
    const reading = (await transport()).sendMessages(asked(answer)).then(read);
    await untilEvents(20);
    await stop(PATH);
    expect((await reading).at(-1)).toEqual({ type: 'finish', finishReason: 'other' });
    expect(asksFor).toEqual(['all']);
  });

  it('does not ask for ever for an answer that has failed', async () => {
    answer = answerOf(`failing-${given}.40.1`);
    const reading = (await transport()).sendMessages(asked(answer)).then(read);
    await expect(reading).rejects.toThrow('Failed to fetch chat: 204');
    expect(asksFor).toHaveLength(2);
    const chat = new PageChat({ id: answer.id, transport: await transport() });
    await chat.resumeStream();
    expect(chat.error).toMatchObject({ message: 'The model is away.' });
    expect(asksFor).toHaveLength(3);
  });
});

describe("AG-UI's HttpAgent", () => {
  const agent = () => new HttpAgent({ url: `${entrance.url}/cut/agent`, threadId: 'thread' });

  it('adds to half an answer what it reads again, unless the page has forgotten that', async () => {
    await passingOver(async () => {
      const reader = agent();
      const running = reader.runAgent({ runId: answer.id });
      await untilEvents(50);
      entrance.cut();
      await expect(running).rejects.toThrow();
      const half = reader.messages[0]!.content as string;
      expect(text()).toContain(half);
      expect(half.length).toBeGreaterThan(0);
      const messages = structuredClone(reader.messages);
      await reader.runAgent({ runId: answer.id });
      expect(reader.messages[0]!.content).toBe(half + text());
      reader.setMessages(messages.filter(({ id }) => id !== `message of ${answer.id}`));
      await reader.runAgent({ runId: answer.id });
      expect(reader.messages.map(({ content }) => content)).toEqual([text()]);
    });
  });

  for (const [how, message] of [
    ['fails', 'The model is away.'],
    ['is stopped', 'Stopped.'],
  ] as const) {
    it(`is told why there is no more when the answer ${how}`, async () => {
      if (how === 'fails') answer = answerOf(`failing-${given}.40.1`);
      const errors: unknown[] = [];
      const onRunErrorEvent = ({ event }: { event: { message: string } }): void => void errors.push(event.message);
      const running = agent()
        .runAgent({ runId: answer.id }, { onRunErrorEvent })
        .catch((error: unknown) => error);
      if (how === 'is stopped') {
        await untilEvents(20);
        await stop('cut/agent');
      }
      await running;
      expect(errors).toEqual([message]);
      expect(entrance.requests).toBe(1);
    });
  }
});

describe('@microsoft/fetch-event-source', () => {
  it('loses an event that is torn behind its id, which it takes for read', async () => {
    answer = answerOf(`answer-${given}.60.${SLOW}`);
    const reading = readFetched(`${entrance.url}/cut/chat/${answer.id}`);
    await untilEvents(20);
    entrance.tearBehind(/^id: \S+\n/m);
    const tokens = await reading;
    expect(entrance.requests).toBe(2);
    expect(tokens).toHaveLength(answer.tokens.length - 1);
    expect(answer.tokens).toEqual(expect.arrayContaining(tokens));
  });
});

describe('an EventSource', () => {
  it('gets all of an answer, whether it comes before that has begun or in the middle', async () => {
    answer = answerOf(`answer-${given}.30.${SLOW}`);
    const open = () => listen(new EventSource(`${entrance.url}/cut/chat/${answer.id}/events`), answer);
    const early = open();
    await until('it is there', async () => (await nodes.stateOf(answer.id)).clients === 1);
    await begin(`cut/chat/${answer.id}`);
    await untilEvents(10);
    for (const { got, expected } of await Promise.all([early, open()])) expect(got).toEqual(expected);
  });
});
