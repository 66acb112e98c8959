import { runInThisContext } from 'node:vm';

import { HttpAgent } from '@ag-ui/client';
import { fetchEventSource } from '@microsoft/fetch-event-source/lib/cjs/fetch.js';
import {
  AbstractChat,
  type ChatInit,
  type ChatState,
  type ChatStatus,
  type ChatTransport,
  DefaultChatTransport,
  type FinishReason,
  type UIMessage,
  type UIMessageChunk,
} from 'ai';
import { EventSource } from 'eventsource';
import { Agent, EventSource as UndiciEventSource } from 'undici';

import { hasNewestReaders, newestReader } from '../readers/reconnecting-readers.js';
import { type Answer, chunksOf } from './server/text.js';

/** What somebody who reads an answer has in the end, and what it has to be. */
export interface Shown {
  readonly got: unknown;
  readonly expected: unknown;
}

/** A client of a chat as others have written it, in a page that does what its documentation says. */
export interface ChatClient {
  readonly name: string;
  /** It has a request that starts an answer and follows it; the others are told of one that goes on. */
  readonly starts: boolean;
  /** Why it cannot be tried here. */
  readonly isLeftOut?: boolean;
  /** It loses an event in the middle of which the connection breaks: that has its own test. */
  readonly losesTornEvents?: boolean;
  /**
   * Where a connection breaks, it leaves a promise behind that is rejected with that and that nobody hears of: a page goes
   * on, and a program of Node ends unless it listens.
   */
  readonly leavesRejections?: boolean;
  /** Reads an answer to its end, whatever happens on the way. */
  follow(url: string, answer: Answer): Promise<Shown>;
}

const QUESTION: UIMessage = { id: 'question', role: 'user', parts: [{ type: 'text', text: 'What is the answer?' }] };

/** Deltas of a text may come merged: then only what they are together counts. */
function inOne(chunks: readonly UIMessageChunk[]): UIMessageChunk[] {
  const merged: UIMessageChunk[] = [];
  for (const chunk of chunks) {
    const last = merged.at(-1);
    if (chunk.type === 'text-delta' && last?.type === 'text-delta') last.delta += chunk.delta;
    else merged.push({ ...chunk });
  }
  return merged;
}

export function asked(answer: Answer): Parameters<ChatTransport<UIMessage>['sendMessages']>[0] {
  return {
    trigger: 'submit-message',
    chatId: answer.id,
    messageId: undefined,
    messages: [QUESTION],
    abortSignal: undefined,
  };
}

/** Adds what comes; answers whether it came to its end. */
async function collect(
  chunks: UIMessageChunk[],
  open: () => Promise<ReadableStream<UIMessageChunk> | null>,
): Promise<boolean> {
  try {
    const stream = await open();
    // What is told to somebody who comes for an answer that nobody gives.
    if (!stream) throw new Error('Nothing is going on.');
    for await (const chunk of stream) chunks.push(chunk);
  } catch (error) {
    if (!isOfTheNetwork(error)) throw error;
  }
  return chunks.at(-1)?.type === 'finish';
}

/** `fetch` is of another realm than Jest's, and so are its errors. */
function isOfTheNetwork(error: unknown): boolean {
  const { name, message } = error as Error;
  return name === 'TypeError' && ['terminated', 'fetch failed', 'network error'].includes(message);
}

/** The transport alone, in a page that asks for the stream again until it has seen `finish`. */
const defaultTransport: ChatClient = {
  name: "the AI SDK's DefaultChatTransport",
  starts: true,
  async follow(url, answer) {
    const transport = new DefaultChatTransport({ api: `${url}/ai/chat` });
    const whole = inOne(chunksOf(answer));
    let chunks: UIMessageChunk[] = [];
    let isComplete = await collect(chunks, () => transport.sendMessages(asked(answer)));
    while (!isComplete) {
      chunks = [];
      isComplete = await collect(chunks, () => transport.reconnectToStream({ chatId: answer.id }));
    }
    return { got: inOne(chunks), expected: whole };
  },
};

/** What `useChat` keeps in React, in a page without it. */
class PlainState implements ChatState<UIMessage> {
  status: ChatStatus = 'ready';
  error: Error | undefined = undefined;
  messages: UIMessage[] = [];

  pushMessage = (message: UIMessage): void => void (this.messages = [...this.messages, message]);
  popMessage = (): void => void (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index: number, message: UIMessage): void => {
    this.messages = this.messages.with(index, this.snapshot(message));
  };
  snapshot = <T>(thing: T): T => structuredClone(thing);
}

/** What `useChat` is in every framework. */
export class PageChat extends AbstractChat<UIMessage> {
  constructor({ messages = [], ...init }: ChatInit<UIMessage>) {
    const state = new PlainState();
    state.messages = messages;
    super({ ...init, state });
  }
}

/** The `fetch` of a browser, which has other words for a broken connection: `useChat` keeps what it has for these only. */
const fetchOfChromium: typeof fetch = async (input, init) => {
  const response = await fetch(input, init);
  if (!response.body) return response;
  const reader = response.body.getReader();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch {
        controller.error(new TypeError('network error'));
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return new Response(body, response);
};

async function chatUntilFinished(answer: Answer, transport: ChatTransport<UIMessage>): Promise<Shown> {
  let finishReason: FinishReason | undefined;
  const chat = new PageChat({ id: answer.id, transport, onFinish: (finish) => ({ finishReason } = finish) });
  await chat.sendMessage({ text: 'What is the answer?' });
  // An interrupted answer is an error or, where the stream has ended in order, one without a reason to have finished.
  while (finishReason === undefined || chat.error) {
    if (chat.error && !isOfTheNetwork(chat.error)) throw chat.error;
    finishReason = undefined;
    await chat.resumeStream();
  }
  const [question, ...answers] = chat.messages;
  return {
    got: { asked: question?.role, answers, status: chat.status },
    expected: {
      asked: 'user',
      answers: [
        {
          id: answer.id,
          role: 'assistant',
          parts: [{ type: 'text', text: answer.tokens.join(''), state: 'done' }],
        },
      ],
      status: 'ready',
    },
  };
}

const useChat: ChatClient = {
  name: 'useChat of the AI SDK',
  starts: true,
  follow: (url, answer) => chatUntilFinished(answer, new DefaultChatTransport({ api: `${url}/ai/chat` })),
};

const useChatInChromium: ChatClient = {
  name: 'useChat of the AI SDK with the errors of a browser',
  starts: true,
  follow: (url, answer) =>
    chatUntilFinished(answer, new DefaultChatTransport({ api: `${url}/ai/chat`, fetch: fetchOfChromium })),
};

/** As far as it is used here: the package has no types where npm leaves it out. */
export interface WorkflowTransport extends ChatTransport<UIMessage> {
  reconnectToStream(options: {
    chatId: string;
    startIndex?: number;
    abortSignal?: AbortSignal;
  }): Promise<ReadableStream<UIMessageChunk> | null>;
}

/** It sends the messages alone, and says neither what they are nor whose chat it is, unless it is told to. */
export async function workflowTransport(api: string, options: object = {}): Promise<WorkflowTransport> {
  const { WorkflowChatTransport } = await newestReader<{
    WorkflowChatTransport: new (options: object) => WorkflowTransport;
  }>('ai-workflow-1');
  return new WorkflowChatTransport({
    api,
    prepareSendMessagesRequest: ({ id, messages }: { id: string; messages: UIMessage[] }) => ({
      headers: { 'content-type': 'application/json' },
      body: { id, messages },
    }),
    ...options,
  });
}

/** It comes back by itself where a stream breaks or ends, and gives up where a request is not answered at all. */
const workflow: ChatClient = {
  name: "the AI SDK's WorkflowChatTransport",
  starts: true,
  isLeftOut: !hasNewestReaders,
  async follow(url, answer) {
    const transport = await workflowTransport(`${url}/workflow/chat`, { maxConsecutiveErrors: 100 });
    let chunks: UIMessageChunk[] = [];
    let isComplete = await collect(chunks, () => transport.sendMessages(asked(answer)));
    while (!isComplete) {
      chunks = [];
      isComplete = await collect(chunks, () => transport.reconnectToStream({ chatId: answer.id }));
    }
    return { got: chunks, expected: chunksOf(answer) };
  },
};

const realProcess = runInThisContext('process') as NodeJS.Process;

/** For `leavesRejections`. */
export async function passingOver<T>(work: () => Promise<T>): Promise<T> {
  const others = realProcess.listeners('unhandledRejection');
  const listener: NodeJS.UnhandledRejectionListener = (reason, promise) => {
    if (!isOfTheNetwork(reason)) for (const other of others) other(reason, promise);
  };
  realProcess.removeAllListeners('unhandledRejection').on('unhandledRejection', listener);
  try {
    return await work();
  } finally {
    realProcess.off('unhandledRejection', listener);
    for (const other of others) realProcess.on('unhandledRejection', other);
  }
}

/** It has no way to come back to a run: the page forgets half an answer, and asks for the same run again. */
const httpAgent: ChatClient = {
  name: "AG-UI's HttpAgent",
  starts: true,
  leavesRejections: true,
  async follow(url, answer) {
    const question = { id: 'question', role: 'user' as const, content: 'What is the answer?' };
    const agent = new HttpAgent({ url: `${url}/agent`, threadId: 'thread', initialMessages: [question] });
    let isComplete = false;
    for (;;) {
      const onRunFinishedEvent = (): void => void (isComplete = true);
      await agent.runAgent({ runId: answer.id }, { onRunFinishedEvent }).catch((error: unknown) => {
        if (!isOfTheNetwork(error)) throw error;
      });
      if (isComplete) break;
      agent.setMessages([question]);
    }
    const content = answer.tokens.join('');
    return {
      got: agent.messages,
      expected: [question, { id: `message of ${answer.id}`, role: 'assistant', content }],
    };
  },
};

/** What it takes for granted of a page. */
function standInForAPage(): void {
  const page = { addEventListener: () => {}, removeEventListener: () => {}, hidden: false };
  Object.assign(globalThis, { window: globalThis, document: page });
}

/** The tokens of an answer that it starts. */
export async function readFetched(url: string): Promise<unknown[]> {
  standInForAPage();
  const tokens: unknown[] = [];
  let isComplete = false;
  await fetchEventSource(url, {
    method: 'POST',
    openWhenHidden: true,
    fetch,
    onmessage({ event, data }) {
      if (event === 'done') isComplete = true;
      else if (event === '' && data !== '') tokens.push((JSON.parse(data) as { token: string }).token);
    },
    // As its documentation shows it, for streams that end in order before their time.
    onclose() {
      if (!isComplete) throw new Error('The answer is not complete.');
    },
  });
  return tokens;
}

const microsoft: ChatClient = {
  name: '@microsoft/fetch-event-source with POST',
  starts: true,
  losesTornEvents: true,
  follow: async (url, answer) => ({
    got: await readFetched(`${url}/chat/${answer.id}`),
    expected: answer.tokens,
  }),
};

interface BareEventSource {
  addEventListener(name: string, listener: (event: { data: string }) => void): void;
  close(): void;
}

export async function listen(source: BareEventSource, answer: Answer): Promise<Shown> {
  const tokens: unknown[] = [];
  source.addEventListener('message', ({ data }) => tokens.push((JSON.parse(data) as { token: string }).token));
  await new Promise<void>((resolve) => source.addEventListener('done', () => resolve()));
  source.close();
  return { got: tokens, expected: answer.tokens };
}

const npmEventSource: ChatClient = {
  name: 'npm eventsource',
  starts: false,
  follow: (url, answer) => listen(new EventSource(`${url}/chat/${answer.id}`), answer),
};

const undiciEventSource: ChatClient = {
  name: "undici's EventSource",
  starts: false,
  async follow(url, answer) {
    const agent = new Agent();
    const source = new UndiciEventSource(`${url}/chat/${answer.id}`, { node: { dispatcher: agent } });
    const shown = await listen(source, answer);
    await agent.destroy();
    return shown;
  },
};

export const chatClients: readonly ChatClient[] = [
  defaultTransport,
  useChat,
  useChatInChromium,
  workflow,
  httpAgent,
  microsoft,
  npmEventSource,
  undiciEventSource,
];
