import { expect } from '@jest/globals';
import { type ClientOptions, SSEError, type SSEService } from 'nestjs-sse-hub';

import type { Bench } from './baseline.js';
import type { AppOptions, Platform, RunningApp } from './platforms.js';
import type { EventStream } from './readers/event-stream.js';
import { RecordedLogger } from './recorded-logger.js';
import type { Transport } from './stream-controllers.js';

export type Options = Omit<ClientOptions, 'topics'>;

export interface Served extends RunningApp {
  readonly logger: RecordedLogger;
  /** Opens a stream and waits until it is open; the options are those of this connection alone. */
  readonly connect: (topics: string, options?: Options, lastEventId?: string) => Promise<EventStream>;
  /** The same, for a request that the test expects not to get a stream. */
  readonly request: (topics: string, options?: Options | (() => Options), lastEventId?: string) => Promise<EventStream>;
}

/** An application with one kind of stream, whose every connection may have options of its own. */
export async function serve(
  bench: Bench,
  platform: Platform,
  transport: Transport,
  app: AppOptions = {},
): Promise<Served> {
  let options: () => Options = () => ({});
  const logger = new RecordedLogger();
  const running = await bench.start(platform, {
    controllers: [transport.controller(() => options())],
    ...app,
    prepare: (nest) => {
      nest.useLogger(logger);
      app.prepare?.(nest);
    },
  });
  const request: Served['request'] = (topics, wanted = {}, lastEventId) => {
    options = typeof wanted === 'function' ? wanted : () => wanted;
    return bench.open(`${running.url}/events/${topics}`, lastEventId === undefined ? {} : { lastEventId });
  };
  return {
    ...running,
    logger,
    request,
    connect: (topics, wanted = {}, lastEventId) => {
      options = () => wanted;
      return bench.connect(`${running.url}/events/${topics}`, lastEventId === undefined ? {} : { lastEventId });
    },
  };
}

/** The names of the events that have come, the hub's own included. */
export function names(stream: EventStream): string[] {
  return stream.events.map(({ event }) => event);
}

/** Why clients have gone, in order, until the test is over. */
export function disconnectReasons(bench: Bench, sse: SSEService): unknown[] {
  const reasons: unknown[] = [];
  const watching = sse.connections.subscribe(({ type, reason }) => type === 'disconnect' && reasons.push(reason));
  bench.onEnd(() => watching.unsubscribe());
  return reasons;
}

/** The code of the error that this throws. */
export function codeOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof SSEError) return error.code;
    throw error;
  }
  return undefined;
}

/** The whole answer to a request that gets no stream: JSON, whatever was asked for. */
export async function answerTo(stream: EventStream): Promise<{ status: number; body: unknown }> {
  await stream.untilEnd();
  expect(stream.response.headers['content-type']).toMatch(/^application\/json/);
  return { status: stream.status, body: JSON.parse(stream.raw) as unknown };
}

/** The answer that a client gets for an error of the hub. */
export function answerOf(status: number, code: string, message: RegExp): object {
  return { status, body: { statusCode: status, code, message: expect.stringMatching(message) as unknown } };
}

/** Data that cannot be serialised. */
export class Poison {
  toJSON(): never {
    throw new Error('toJSON fails');
  }
}
