import type { EventSourceOptions, FetchInit, Fresh } from './options.js';
import { createParser, type WireEvent } from './parser.js';

/** What one read of a stream has brought: `to` is the last event ID behind it. */
export interface Batch {
  readonly events: readonly WireEvent[];
  readonly to: string;
  readonly origin: string;
}

/** Whoever is told what comes. */
export interface Listener {
  opened(): void;
  /** Also without events, when all that came was a comment. */
  received(batch: Batch): void;
  /** `wait` milliseconds until it is tried again; without, it is closed for good. */
  failed(message: string, code?: number, wait?: number): void;
  /** Nothing has come for long, and the line that it should have come over is another tab's. */
  unheard(): void;
}

/** Answers that pass: a proxy without a server behind it, and too many requests. */
const PASSING = /^(429|50[234])$/;

const MAX_TIMEOUT = 2 ** 31 - 1;

/** The way to the server: connects, reads, notices when the line is dead, and comes back. */
export class Line {
  /** Milliseconds between two signs of life of the server; `sse.open` says it. */
  heartbeat = 0;
  /** Was told `sse.busy`. */
  busy = false;
  /** Credentials have expired or were refused. */
  stale = false;
  lastEventId = '';
  listener!: Listener;

  readonly #url: Fresh<string | URL>;
  readonly #options: EventSourceOptions;
  #attempt: AbortController | undefined;
  #failures = 0;
  #refused = false;
  /** From the server. */
  #retry: number | undefined;
  #heard = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = 0;
  #act = (): void => {};

  constructor(url: Fresh<string | URL>, options: EventSourceOptions) {
    this.#url = url;
    this.#options = options;
  }

  get active(): boolean {
    return this.#attempt !== undefined;
  }

  start(): void {
    if (this.active) return;
    this.#clear();
    void this.#connect();
  }

  stop(): void {
    this.#attempt?.abort();
    this.#attempt = undefined;
    this.#clear();
  }

  /** The network was away: what is open is dead more often than not, and what waits need not wait any longer. */
  restart(message: string): void {
    if (!this.active) return;
    this.#failures = 0;
    this.#fail(message, undefined, 0);
  }

  /** Timers have slept as well: does at once what was due meanwhile. */
  check(): void {
    if (this.#timer !== undefined && Date.now() >= this.#due) this.#act();
  }

  /** Something came, or nothing is to be expected for `wait` milliseconds. */
  hear(wait = 0): void {
    this.#heard = Date.now() + wait;
    if (this.#timer === undefined) this.#watch();
  }

  #watch(): void {
    // A comment comes after 1 to 1.25 intervals. Another tab that minds the line is given the time to notice it first.
    const limit = (this.heartbeat * 1.5 + 1_000) * (this.active ? 1 : 2 + Math.random());
    if (this.heartbeat === 0) return;
    this.#alarm(this.#heard + limit - Date.now(), () => {
      if (Date.now() < this.#heard + limit) this.#watch();
      else if (this.active) this.#fail(`Nothing came for ${Math.round(limit)} ms, reconnecting`, undefined, 0);
      else this.listener.unheard();
    });
  }

  #alarm(delay: number, act: () => void): void {
    this.#clear();
    this.#due = Date.now() + delay;
    this.#act = () => {
      this.#clear();
      act();
    };
    this.#timer = setTimeout(this.#act, Math.min(delay, MAX_TIMEOUT));
  }

  #clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Without `wait` for good. */
  #fail(message: string, code?: number, wait?: number): void {
    this.stop();
    if (wait !== undefined) {
      // It is active while it waits.
      this.#attempt = new AbortController();
      this.#alarm(wait, () => void this.#connect());
    }
    this.listener.failed(message, code, wait);
  }

  /** Doubles with every failure, and is spread, because others have failed at the same time. */
  #backOff(): number {
    const retry = this.#retry ?? 0;
    if (this.#failures === 0 && retry > 0) return retry;
    const { maxRetry = 30_000 } = this.#options;
    const wait = Math.min(maxRetry, Math.max(this.#retry ?? 3_000, 250) * 2 ** Math.max(0, this.#failures - 1));
    return Math.max(retry, wait) * (1 + Math.random() / 2);
  }

  async #connect(): Promise<void> {
    const attempt = (this.#attempt = new AbortController());
    const { signal } = attempt;
    const { headers, body, method, withCredentials, reconnectOn204, fetch = globalThis.fetch } = this.#options;
    const { stale } = this;
    // Asynchronous, so that whoever has just made the source has its listeners there when one of these throws.
    const give = async <Value>(value: Fresh<Value>): Promise<Value> =>
      typeof value === 'function' ? (value as (stale: boolean) => Value | Promise<Value>)(stale) : value;
    const canRefresh = [this.#url, headers, body].some((value) => typeof value === 'function');
    const failuresBefore = this.#failures++;
    this.busy = false;
    this.hear();
    let message = 'The stream has ended, reconnecting';
    let isFresh = false;
    try {
      const [url, given, content] = await Promise.all([give(this.#url), give(headers), give(body)]);
      if (signal.aborted) return;
      const init: FetchInit = {
        method: method ?? (content === undefined ? 'GET' : 'POST'),
        headers: {
          Accept: 'text/event-stream',
          ...given,
          // A header carries bytes: those of UTF-8.
          ...(this.lastEventId && {
            'Last-Event-ID': String.fromCharCode(...new TextEncoder().encode(this.lastEventId)),
          }),
        },
        ...(content !== undefined && { body: content }),
        signal,
        credentials: withCredentials ? 'include' : 'same-origin',
        cache: 'no-store',
        mode: 'cors',
        redirect: 'follow',
      };
      this.stale = false;
      isFresh = true;
      const response = await fetch(url, init);
      if (signal.aborted) return;
      const { status } = response;
      const type = response.headers.get('content-type');
      const stream = response.body as { getReader?: ReadableStream<Uint8Array>['getReader'] } | null | undefined;
      if (status === 401 && canRefresh && !this.#refused) {
        this.#refused = this.stale = true;
        this.#fail('Server sent HTTP 401, asking for fresh credentials', status, 0);
      } else if (PASSING.test(`${status}`) || (status === 204 && reconnectOn204)) {
        const after = response.headers.get('retry-after') ?? '';
        const wait = Number(after) * 1000 || Date.parse(after) - Date.now() || 0;
        this.#fail(`Server sent HTTP ${status}, reconnecting`, status, Math.max(0, wait) + this.#backOff());
      } else if (status === 204) {
        this.#fail('Server sent HTTP 204, not reconnecting', status);
      } else if (status !== 200) {
        const remedy = status === 401 ? ': give `headers` or the URL as a function, which is asked for fresh ones' : '';
        this.#fail(`Server sent HTTP ${status}, not reconnecting${remedy}`, status);
      } else if (!type?.startsWith('text/event-stream')) {
        this.#fail(`Server sent Content-Type "${type}", not text/event-stream: check the URL`, status);
      } else if (!stream?.getReader) {
        this.#fail('Invalid response body, expected a web ReadableStream', status);
      } else {
        this.#failures = 0;
        this.#refused = false;
        this.hear();
        const { origin } = new URL(response.url || url);
        this.listener.opened();
        const parser = createParser(this.lastEventId);
        const reader = stream.getReader();
        const decoder = new TextDecoder();
        while (!signal.aborted) {
          const { done, value } = await reader.read();
          if (done || signal.aborted) break;
          const events = parser.push(decoder.decode(value, { stream: true }));
          this.#retry = parser.retry ?? this.#retry;
          this.listener.received({ events, to: parser.lastEventId, origin });
          if (!signal.aborted) this.hear();
        }
      }
    } catch (error) {
      message = String(error);
    }
    if (signal.aborted) return;
    if (this.busy) this.#failures = failuresBefore + 1;
    this.#fail(message, undefined, isFresh && this.stale && canRefresh ? 0 : this.#backOff());
  }
}
