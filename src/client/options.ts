/** A value, or what gives it anew for every connection; `stale` says that the one before has expired or was refused. */
export type Fresh<Value> = Value | ((stale: boolean) => Value | Promise<Value>);

/** What `fetch` is asked with. */
export interface FetchInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string | URLSearchParams | FormData;
  readonly signal: AbortSignal;
  readonly credentials: 'include' | 'same-origin';
  readonly cache: 'no-store';
  readonly mode: 'cors';
  readonly redirect: 'follow';
}

/** As much of a `Response` as is needed. */
export interface FetchResponse {
  readonly status: number;
  readonly url: string;
  readonly headers: { get(name: string): string | null };
  readonly body: unknown;
}

/** How a stream is asked for. */
export interface EventSourceOptions {
  /**
   * Sends cookies to other origins too.
   *
   * @defaultValue `false`
   */
  withCredentials?: boolean | undefined;
  /**
   * Headers of each request, `Authorization` as a rule; a function is asked for every connection.
   *
   * @defaultValue none but `Accept` and `Last-Event-ID`
   */
  headers?: Fresh<Record<string, string>> | undefined;
  /**
   * What the request carries; a function is asked for every connection.
   *
   * @defaultValue nothing
   */
  body?: Fresh<string | URLSearchParams | FormData> | undefined;
  /**
   * Of each request.
   *
   * @defaultValue `'POST'` with a `body`, else `'GET'`
   */
  method?: string | undefined;
  /**
   * Where to begin: a cursor, such as that of a snapshot. It counts more than what is remembered.
   *
   * @defaultValue what `remember` has kept, else nothing
   */
  lastEventId?: string | undefined;
  /**
   * Keeps the cursor in the tab's `sessionStorage`, so that a reload goes on where the page was: `true` under the URL, or
   * under a name. It is for pages that keep what they have shown; others want to begin anew.
   *
   * @defaultValue `false`
   */
  remember?: boolean | string | undefined;
  /**
   * One connection for all tabs of this origin that follow the same URL (`true`), or have given the same name. Tabs that
   * share have to be the same user's, and would get the same events. A tab that comes later begins with a connection of its own,
   * and so gets what it would get alone, until it is where the others are. It needs Web Locks (so HTTPS), BroadcastChannel,
   * and the hub's cursors; otherwise each tab keeps its own connection.
   *
   * @defaultValue `false`
   */
  share?: boolean | string | undefined;
  /**
   * The longest wait between two attempts that fail, in milliseconds, before it is spread by half of it. What the server asks for
   * with `retry` or `Retry-After` may be longer.
   *
   * @defaultValue `30_000`
   */
  maxRetry?: number | undefined;
  /**
   * Comes back after a 204 too, which is otherwise the server's word to stay away.
   *
   * @defaultValue `false`
   */
  reconnectOn204?: boolean | undefined;
  /** Closes the stream when it is aborted. */
  signal?: AbortSignal | undefined;
  /**
   * What requests are made with.
   *
   * @defaultValue the global one
   */
  fetch?: ((url: string | URL, init: FetchInit) => Promise<FetchResponse>) | undefined;
}
