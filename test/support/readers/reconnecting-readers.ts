import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { EventSource as EventSource4 } from 'eventsource';
import { createEventSource } from 'eventsource-client';
import { EventSource as OwnEventSource } from 'nestjs-sse-hub/client';
import { Agent, EventSource as UndiciEventSource } from 'undici';

import { ROOT } from '../root.js';

/** One that comes back by itself, as its documentation shows it. */
export interface ReconnectingReader {
  readonly name: string;
  readonly open: (url: string) => OpenReader;
}

export interface OpenReader {
  /** It has given up, or takes the stream for finished. */
  readonly stopped: () => boolean;
  /** Of the application. */
  readonly events: () => number;
  readonly close: () => void;
}

const CLOSED = 2;

/** npm leaves the packages of `readers/newest` out where they do not support the Node that runs. */
export const hasNewestReaders = Number.parseInt(process.versions.node, 10) >= 22;

/** One of those, typed as the older version that is always there: without it there are no types of its own. */
export async function newestReader<T>(name: 'ai-7' | 'ai-workflow-1' | 'eventsource-5'): Promise<T> {
  return (await import(name)) as T;
}

function likeNpm(name: string, Source: typeof EventSource4 | typeof OwnEventSource): ReconnectingReader {
  return {
    name,
    open: (url) => {
      const source = new Source(url);
      let events = 0;
      source.addEventListener('n', () => events++);
      return { stopped: () => source.readyState === CLOSED, events: () => events, close: () => source.close() };
    },
  };
}

const undici: ReconnectingReader = {
  name: "undici's EventSource",
  open: (url) => {
    const agent = new Agent();
    const source = new UndiciEventSource(url, { node: { dispatcher: agent } });
    let events = 0;
    source.addEventListener('n', () => events++);
    const close = (): void => {
      source.close();
      agent.destroy().catch(() => {});
    };
    return { stopped: () => source.readyState === CLOSED, events: () => events, close };
  },
};

const client: ReconnectingReader = {
  name: 'eventsource-client',
  open: (url) => {
    let events = 0;
    const source = createEventSource({ url, onMessage: ({ event }) => void (event === 'n' && events++) });
    return { stopped: () => source.readyState === 'closed', events: () => events, close: () => source.close() };
  },
};

interface SseClientModule {
  createSseClient: (options: { url: string; signal: AbortSignal; onSseEvent: (event: { event?: string }) => void }) => {
    stream: AsyncGenerator;
  };
}

/** The file that @hey-api/openapi-ts puts into the clients that it generates. */
async function heyApi(): Promise<ReconnectingReader> {
  const file = 'node_modules/@hey-api/openapi-ts/dist/clients/core/serverSentEvents.ts';
  const code = execFileSync(join(ROOT, 'node_modules/.bin/esbuild'), [file, '--format=esm'], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const { createSseClient } = (await import(
    `data:text/javascript;base64,${Buffer.from(code).toString('base64')}`
  )) as SseClientModule;
  return {
    name: 'a client that @hey-api/openapi-ts generates',
    open: (url) => {
      const abort = new AbortController();
      let stopped = false;
      let events = 0;
      const onSseEvent = ({ event }: { event?: string }): void => void (event === 'n' && events++);
      const { stream } = createSseClient({ url, signal: abort.signal, onSseEvent });
      const read = async (): Promise<void> => {
        for await (const event of stream) void event;
        stopped = true;
      };
      void read();
      return { stopped: () => stopped, events: () => events, close: () => abort.abort() };
    },
  };
}

async function newest(): Promise<ReconnectingReader[]> {
  if (!hasNewestReaders) return [];
  const { EventSource } = await newestReader<{ EventSource: typeof EventSource4 }>('eventsource-5');
  return [likeNpm('npm eventsource 5', EventSource)];
}

export async function reconnectingReaders(): Promise<ReconnectingReader[]> {
  return [
    likeNpm('nestjs-sse-hub/client', OwnEventSource),
    likeNpm('npm eventsource 4', EventSource4),
    ...(await newest()),
    undici,
    client,
    await heyApi(),
  ];
}
