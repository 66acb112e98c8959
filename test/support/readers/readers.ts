import { getBytes, getLines, getMessages } from '@microsoft/fetch-event-source/lib/cjs/parse.js';
import { EventSource } from 'eventsource';
import { createParser } from 'eventsource-parser';
import { EventSource as OwnEventSource } from 'nestjs-sse-hub/client';
import { Agent, EventSource as UndiciEventSource } from 'undici';

import { PATIENCE } from '../patience.js';

/** An event as a reader hands it to the application. */
export interface ReadEvent {
  readonly event: string;
  readonly data: string;
  readonly lastEventId: string;
}

/** What was published, with the `id` that it has on the wire. */
export interface SentEvent {
  readonly event?: string | undefined;
  /** As it was serialised. */
  readonly text: string;
  readonly id: string;
}

/** One connection of an independent reader, and all it has dispatched and complained about. */
export class Reading {
  readonly events: ReadEvent[] = [];
  readonly errors: unknown[] = [];
  readonly retries: number[] = [];
  #check = (): void => {};
  readonly #stop: () => void;

  constructor(stop: () => void) {
    this.#stop = stop;
  }

  push(event: ReadEvent): void {
    this.events.push(event);
    this.#check();
  }

  fail(error: unknown): void {
    this.errors.push(error);
    this.#check();
  }

  /** Events of the application, without the hub's own. */
  get messages(): ReadEvent[] {
    return this.events.filter(({ event }) => !event.startsWith('sse.'));
  }

  /** Waits for an event of this name; a complaint of the reader ends the waiting too. */
  async untilNamed(name: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`No "${name}" within ${PATIENCE} ms; ${this.events.length} events came.`));
      }, PATIENCE);
      this.#check = () => {
        if (this.events.at(-1)?.event !== name && this.errors.length === 0) return;
        clearTimeout(timer);
        resolve();
      };
      this.#check();
    });
  }

  close(): void {
    this.#stop();
  }
}

/** A program that reads event streams, written by others as a rule. */
export interface StreamReader {
  readonly name: string;
  readonly open: (url: string) => Reading;
  /** What it makes of an event: the standard's answer, or what it is known to do instead. */
  readonly expects: (sent: SentEvent) => ReadEvent[];
}

/** [spec] 9.2.6: every line end is read as LF. */
export function withLineFeeds(text: string): string {
  return text.replace(/\r\n?/g, '\n');
}

export function asTheStandardSays({ event = 'message', text, id }: SentEvent): ReadEvent[] {
  return [{ event, data: withLineFeeds(text), lastEventId: id }];
}

/** It leaves U+0000 out. */
export function asFirefoxDoes(sent: SentEvent): ReadEvent[] {
  return asTheStandardSays({ ...sent, text: sent.text.replaceAll('\u0000', '') });
}

async function bodyOf(url: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const response = await fetch(url, { headers: { accept: 'text/event-stream' }, signal });
  if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
  return response.body;
}

/** Runs `read` until the reading is closed, which is no failure. */
function readingOf(read: (reading: Reading, signal: AbortSignal) => Promise<void>): Reading {
  const abort = new AbortController();
  const reading = new Reading(() => abort.abort());
  read(reading, abort.signal).catch((error: unknown) => {
    if (!abort.signal.aborted) reading.fail(error);
  });
  return reading;
}

const parser: StreamReader = {
  name: 'eventsource-parser',
  expects: asTheStandardSays,
  open: (url) =>
    readingOf(async (reading, signal) => {
      const parser = createParser({
        onEvent: ({ event = 'message', data, id = '' }) => reading.push({ event, data, lastEventId: id }),
        onRetry: (retry) => reading.retries.push(retry),
        onError: (error) => reading.fail(error),
      });
      const decoder = new TextDecoder();
      for await (const bytes of await bodyOf(url, signal)) parser.feed(decoder.decode(bytes, { stream: true }));
    }),
};

/** EventSources dispatch whatever comes through this method, so that no name has to be known beforehand. */
function intercept(source: { dispatchEvent: (event: never) => boolean }, reading: Reading): void {
  source.dispatchEvent = (event: Event & { data?: string; lastEventId?: string }) => {
    const { type, data, lastEventId = '' } = event;
    if (typeof data === 'string') reading.push({ event: type, data, lastEventId });
    // Behind `sse.end` the error says that the stream is over, or that the connection is gone, as it has to be.
    else if (type === 'error' && reading.events.at(-1)?.event !== 'sse.end') reading.fail(event);
    return true;
  };
}

const npm: StreamReader = {
  name: 'eventsource',
  expects: asTheStandardSays,
  open: (url) => {
    const source = new EventSource(url);
    const reading = new Reading(() => source.close());
    intercept(source, reading);
    return reading;
  },
};

const own: StreamReader = {
  name: 'nestjs-sse-hub/client',
  expects: asTheStandardSays,
  open: (url) => {
    const source = new OwnEventSource(url);
    const reading = new Reading(() => source.close());
    intercept(source, reading);
    return reading;
  },
};

const undici: StreamReader = {
  name: "undici's EventSource",
  expects: asTheStandardSays,
  open: (url) => {
    const agent = new Agent();
    const source = new UndiciEventSource(url, { node: { dispatcher: agent } });
    const reading = new Reading(() => {
      source.close();
      agent.destroy().catch(() => {});
    });
    intercept(source, reading);
    return reading;
  },
};

const BOM = /^\ufeff/;

/**
 * It decodes each line on its own, which loses a byte order mark at its beginning; it appends a line only to a value
 * that is not empty, which loses empty lines at the beginning; and it reports blocks without data as empty messages.
 */
function asFetchEventSourceDoes({ event = 'message', text, id }: SentEvent): ReadEvent[] {
  const data = withLineFeeds(text)
    .split('\n')
    .map((line) => line.replace(BOM, ''))
    .reduce((value, line) => (value ? `${value}\n${line}` : line), '');
  const read = { event: event.replace(BOM, '') || 'message', data, lastEventId: id.replace(BOM, '') };
  // Of an id that is nothing but the mark nothing is left, so that without data it looks like a blank line.
  return data === '' && read.lastEventId === '' ? [] : [read];
}

// Its parser alone: what is around it needs a browser's document and window.
const fetchEventSource: StreamReader = {
  name: '@microsoft/fetch-event-source',
  expects: asFetchEventSourceDoes,
  open: (url) =>
    readingOf(async (reading, signal) => {
      const onMessage = getMessages(
        () => {},
        (retry) => reading.retries.push(retry),
        ({ event, data, id }) => {
          // The blank lines that Nest and Node put between blocks are messages to it too.
          if (data !== '' || id !== '') reading.push({ event: event || 'message', data, lastEventId: id });
        },
      );
      await getBytes(await bodyOf(url, signal), getLines(onMessage));
    }),
};

/** Four that follow the standard or are known where they don't, and the package's own. */
export const readers: readonly StreamReader[] = [parser, npm, undici, fetchEventSource, own];
