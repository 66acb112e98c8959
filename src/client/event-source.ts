import type { SSEEvents } from '../sse.events.js';
import type { DataOf, EventSourceError, EventSourceEventMap, NameOf, StreamEvent } from './events.js';
import { type Batch, Line, type Listener } from './line.js';
import type { EventSourceOptions, Fresh } from './options.js';
import { page } from './page.js';
import { Sharing } from './sharing.js';

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 2;

/** Data of the hub is JSON, or text as it was published. */
function read(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}

function absolute(url: unknown): URL {
  try {
    if (typeof url === 'string' || url instanceof URL) return new URL(url, page().document?.baseURI);
  } catch {
    // Said below.
  }
  const shown = typeof url === 'string' ? `: "${url}"` : '';
  throw new DOMException(`An invalid or illegal string was specified${shown}`, 'SyntaxError');
}

type ListenerOptions = boolean | { capture?: boolean; once?: boolean; passive?: boolean; signal?: AbortSignal };
type ListenerOf<Type> = ((event: Type) => void) | { handleEvent(event: Type): void };

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging, no-unused-vars -- Types of what `EventTarget` has, nothing more.
export interface EventSource<Events extends object = SSEEvents> extends EventTarget {
  addEventListener<Type extends keyof EventSourceEventMap>(
    type: Type,
    listener: ListenerOf<EventSourceEventMap[Type]> | null,
    options?: ListenerOptions,
  ): void;
  addEventListener(type: string, listener: ListenerOf<MessageEvent> | null, options?: ListenerOptions): void;
  removeEventListener<Type extends keyof EventSourceEventMap>(
    type: Type,
    listener: ListenerOf<EventSourceEventMap[Type]> | null,
    options?: ListenerOptions,
  ): void;
  removeEventListener(type: string, listener: ListenerOf<MessageEvent> | null, options?: ListenerOptions): void;
}

/**
 * An `EventSource` over `fetch`, for browsers and for Node: the shape of the one that browsers have ([spec] HTML, 9.2), and what
 * that cannot do. Other than it, it comes back after 429, 502, 503 and 504, and closes at `sse.end`; its `error` events say
 * in `message` and `code` what happened. What cannot pass, such as another status, closes it: `readyState` is then 2.
 *
 * @example
 * import { EventSource } from 'nestjs-sse-hub/client';
 *
 * const source = new EventSource('/orders/events', { share: true });
 * source.on('created', (order) => console.log(order));
 */
// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- See the interface.
export class EventSource<Events extends object = SSEEvents> extends EventTarget {
  static readonly CONNECTING = CONNECTING;
  static readonly OPEN = OPEN;
  static readonly CLOSED = CLOSED;
  /** By this, libraries see that there is a `fetch` option. */
  static get [Symbol.for('eventsource.supports-fetch-override')](): boolean {
    return true;
  }

  readonly CONNECTING = CONNECTING;
  readonly OPEN = OPEN;
  readonly CLOSED = CLOSED;
  /** The URL, absolute; empty when it is given by a function. */
  readonly url: string;
  /** Whether cookies go to other origins. */
  readonly withCredentials: boolean;
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onerror: ((event: EventSourceError) => void) | null = null;

  readonly #line: Line;
  /** What is started and stopped: the line, or what shares one between tabs. */
  readonly #way: Pick<Line, 'start' | 'stop'>;
  readonly #key: string | undefined;
  /** Listeners to the page leave with it. */
  readonly #life = new AbortController();
  /** Loops over the source. */
  readonly #loops = new Set<(event?: StreamEvent<Events>) => void>();
  #readyState: 0 | 1 | 2 = CONNECTING;
  #fault: Error | undefined;

  /**
   * Opens the stream.
   *
   * @param url - Where the stream is; a function is asked for every connection, for credentials that are in the URL
   * @throws DOMException `SyntaxError` when the URL is none, `TypeError` when the URL is given by a function and something needs a name
   */
  constructor(url: Fresh<string | URL>, options: EventSourceOptions = {}) {
    super();
    this.url = typeof url === 'function' ? '' : absolute(url).href;
    this.withCredentials = options.withCredentials ?? false;
    const { remember, share, signal } = options;
    if (this.url === '' && (remember === true || share === true)) {
      throw new TypeError('With a function as URL, `share` and `remember` need a name: share: "orders"');
    }
    this.#key = remember ? `sse:${remember === true ? this.url : remember}` : undefined;
    this.#line = new Line(this.url || url, options);
    this.#line.lastEventId = options.lastEventId ?? this.#kept() ?? '';
    const listener: Listener = {
      opened: () => this.#open(),
      received: (batch) => this.#receive(batch),
      failed: (message, code, wait) => this.#fail(message, code, wait),
      unheard: () => {},
    };
    if (share && page().navigator?.locks && page().BroadcastChannel) {
      const sharing = new Sharing(`sse:${share === true ? this.url : share}`, this.#line, listener);
      this.#line.listener = this.#way = sharing;
    } else {
      this.#line.listener = listener;
      this.#way = this.#line;
    }
    super.addEventListener('open', (event) => this.onopen?.(event));
    super.addEventListener('message', (event) => this.onmessage?.(event as MessageEvent));
    super.addEventListener('error', (event) => this.onerror?.(event));
    if (signal?.aborted) this.close();
    else {
      signal?.addEventListener('abort', () => this.close());
      this.#live();
      this.#way.start();
    }
  }

  /** 0 connecting, or waiting to; 1 open; 2 closed for good. */
  get readyState(): 0 | 1 | 2 {
    return this.#readyState;
  }

  /** The id of the last event: where a connection would begin. */
  get lastEventId(): string {
    return this.#line.lastEventId;
  }

  /**
   * Calls `listener` with the parsed data of every event with this name, the hub's `sse.*` included; `message` are those without
   * a name. Data that is not JSON is given as text.
   *
   * @returns what stops it
   * @example
   * import { EventSource } from 'nestjs-sse-hub/client';
   *
   * const source = new EventSource<{ prices: { changed: { symbol: string; price: number } } }>('/prices/events');
   * source.on('changed', ({ symbol, price }) => console.log(symbol, price));
   * source.on('sse.reset', ({ topics }) => console.log('fetch anew:', topics));
   */
  on<Name extends NameOf<Events>>(
    name: Name,
    listener: (data: DataOf<Events, Name>, event: MessageEvent) => void,
  ): () => void {
    const heard = (event: Event): void => {
      const message = event as MessageEvent;
      listener(read(message.data as string) as DataOf<Events, Name>, message);
    };
    super.addEventListener(name, heard);
    return () => super.removeEventListener(name, heard);
  }

  /**
   * All events from now on but `sse.cursor`, in their order. The loop ends when the stream is closed or over for good, and throws what closed it
   * otherwise. Leaving the loop leaves the stream open. What comes while the loop is busy waits in memory.
   *
   * @example
   * import { EventSource } from 'nestjs-sse-hub/client';
   *
   * for await (const { event, data, lastEventId } of new EventSource('/orders/events')) console.log(event, data, lastEventId);
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<StreamEvent<Events>, void, undefined> {
    const waiting: StreamEvent<Events>[] = [];
    let wake = (): void => {};
    const take = (event?: StreamEvent<Events>): void => {
      if (event) waiting.push(event);
      wake();
    };
    this.#loops.add(take);
    try {
      for (;;) {
        while (waiting.length > 0) yield waiting.shift()!;
        if (this.#readyState === CLOSED) break;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (this.#fault) throw this.#fault;
    } finally {
      this.#loops.delete(take);
    }
  }

  /** Closes the stream for good. What `remember` keeps stays, so that another source can go on there. */
  close(): void {
    this.#readyState = CLOSED;
    this.#life.abort();
    this.#way.stop();
    for (const take of this.#loops) take();
  }

  #live(): void {
    const on = (target: Pick<EventTarget, 'addEventListener'> | object, types: string, act: () => void): void => {
      const { addEventListener } = target as { addEventListener?: EventTarget['addEventListener'] };
      for (const type of types.split(' ')) addEventListener?.call(target as EventTarget, type, act, this.#life);
    };
    const { document = {} } = page();
    // A page that is kept to come back to must not have a connection; one that sleeps must not keep it from other tabs.
    on(globalThis, 'pagehide', () => this.#way.stop());
    on(document, 'freeze', () => this.#way.stop());
    on(globalThis, 'pageshow', () => this.#way.start());
    on(document, 'resume', () => this.#way.start());
    on(globalThis, 'online', () => this.#line.restart('The network is back, reconnecting'));
    on(document, 'visibilitychange', () => this.#line.check());
  }

  #open(): void {
    if (this.#readyState !== CONNECTING) return;
    this.#readyState = OPEN;
    this.dispatchEvent(new Event('open'));
  }

  #receive({ events, to, origin }: Batch): void {
    for (const [type, data, lastEventId] of events) {
      this.#line.lastEventId = lastEventId;
      if (type.startsWith('sse.')) this.#heed(type, data);
      this.dispatchEvent(new MessageEvent(type, { data, lastEventId, origin }));
      if (type !== 'sse.cursor') {
        const event = { event: type, data: this.#loops.size > 0 && read(data), lastEventId };
        for (const take of this.#loops) take(event as never);
      }
      // By a listener.
      if (this.#readyState === CLOSED) return;
      if (type === 'sse.end') {
        this.#way.stop();
        this.#fail('The stream is over for good (sse.end)');
        return;
      }
    }
    this.#line.lastEventId = to;
    this.#kept(to);
  }

  /** What the hub says is meant for the line too. */
  #heed(type: string, data: string): void {
    const line = this.#line;
    if (type === 'sse.open') line.heartbeat = (read(data) as { heartbeatInterval?: number }).heartbeatInterval ?? 0;
    else if (type === 'sse.busy') line.busy = true;
    else if (type === 'sse.expired') line.stale = true;
  }

  #fail(message: string, code?: number, wait?: number): void {
    if (wait !== undefined) this.#readyState = CONNECTING;
    else {
      const isOver = code === undefined || code === 204;
      if (isOver) this.#kept('');
      else this.#fault = Object.assign(new Error(message), { code });
      this.close();
    }
    this.dispatchEvent(Object.assign(new Event('error'), { code, message }));
  }

  /** What is kept under this key, or keeps this. A page has to work as well where people allow no storage. */
  #kept(cursor?: string): string | null | undefined {
    try {
      const storage = this.#key === undefined ? undefined : page().sessionStorage;
      if (cursor === undefined) return storage?.getItem(this.#key!);
      storage?.setItem(this.#key!, cursor);
    } catch {
      // As if there were none.
    }
    return undefined;
  }
}
