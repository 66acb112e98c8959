import type { OutgoingHttpHeaders } from 'node:http';

import type { Entrance, Transport, TransportListener } from '../hub/transport.js';
import type { Batch, Frame } from '../protocol/frame.js';
import { STREAM_HEADERS } from '../protocol/headers.js';

/** The answer to a request for a stream as a web-standard `Response`. */
export class WebEntrance implements Entrance {
  #response: Response | undefined;

  /** `onGone` reports when the request is over without the body having been cancelled; it answers how to stop that. */
  constructor(
    private readonly headers: OutgoingHttpHeaders,
    private readonly onGone: (callback: () => void) => () => void,
  ) {}

  get response(): Response {
    return this.#response!;
  }

  admit(): Transport {
    const transport = new WebResponseTransport(this.onGone);
    this.#answer(transport.body);
    return transport;
  }

  turnAway(frame: Frame): void {
    this.#answer(new Blob([new Uint8Array(frame.bytes)]).stream());
  }

  answerNoContent(): void {
    this.#response = new Response(null, { status: 204, headers: toHeaders(this.headers) });
  }

  answerHeaders(): void {
    this.#answer(null);
  }

  #answer(body: ReadableStream<Uint8Array> | null): void {
    this.#response = new Response(body, { headers: toHeaders({ ...this.headers, ...STREAM_HEADERS }) });
  }
}

function toHeaders(from: OutgoingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(from)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) headers.append(name, String(one));
    }
  }
  return headers;
}

class WebResponseTransport implements Transport {
  readonly eager = false;
  readonly body: ReadableStream<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #listener: TransportListener | undefined;
  /** The reader has asked for more. Nothing is queued before it does, so an unread body costs nothing. */
  #wanted = false;
  #asked = 0;
  #over = false;

  #stopWatching: (() => void) | undefined;

  constructor(private readonly onGone: (callback: () => void) => () => void) {
    this.body = new ReadableStream(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          this.#asked++;
          this.#wanted = true;
          this.#listener?.drained();
        },
        cancel: () => {
          this.#over = true;
          this.#gone();
        },
      },
      { highWaterMark: 0 },
    );
  }

  get ready(): boolean {
    return this.#wanted;
  }

  get progress(): number {
    return this.#asked;
  }

  open(listener: TransportListener): void {
    this.#listener = listener;
    this.#stopWatching = this.onGone(() => {
      const wasOpen = this.#listener !== undefined;
      this.#gone();
      if (wasOpen) this.destroy();
    });
  }

  write({ payloads }: Batch): void {
    if (this.#over) return;
    this.#wanted = false;
    // Copied, because a web stream's reader may transfer the buffer it is given, and this one belongs to all clients.
    for (const payload of payloads) this.#controller.enqueue(new Uint8Array(payload));
  }

  end(): void {
    this.#detach();
    if (this.#over) return;
    this.#over = true;
    this.#controller.close();
  }

  close(): Promise<void> {
    this.end();
    return Promise.resolve();
  }

  destroy(): void {
    this.#detach();
    if (this.#over) return;
    this.#over = true;
    this.#controller.error(new DOMException('The event stream was not read.', 'AbortError'));
  }

  #gone(): void {
    const listener = this.#listener;
    this.#detach();
    listener?.disconnected();
  }

  #detach(): void {
    this.#listener = undefined;
    this.#stopWatching?.();
    this.#stopWatching = undefined;
  }
}
