/**
 * Response headers of every event stream. `no-transform` keeps compressing proxies and middleware from holding events
 * back; `X-Accel-Buffering` does the same for nginx. What `Connection` has to say only Node knows.
 */
export const STREAM_HEADERS: Readonly<Record<string, string>> = Object.freeze({
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'private, no-cache, no-store, must-revalidate, max-age=0, no-transform',
  'X-Accel-Buffering': 'no',
});

/** A 204 may be kept by caches for whoever asks next, and it is an answer to one client. RFC 9110, section 15.3.5. */
export const NO_CONTENT_HEADERS: Readonly<Record<string, string>> = Object.freeze({ 'Cache-Control': 'no-store' });

// oxlint-disable-next-line no-control-regex -- what is not ASCII needs decoding
const NOT_ASCII = /[^\u0000-\u007f]/;

/**
 * The last event ID of a request: the `Last-Event-ID` header, then `?lastEventId=` (for a first connection, which
 * cannot set headers from a browser). [spec] 9.2.4: the header is UTF-8, which Node reads as Latin-1.
 */
export function lastEventIdOf(header: string | readonly string[] | undefined, url: string | undefined): string {
  const value = typeof header === 'string' ? header : header?.join(', ');
  if (value) return NOT_ASCII.test(value) ? Buffer.from(value, 'latin1').toString('utf8') : value;
  const query = url?.indexOf('?') ?? -1;
  if (!url || query < 0) return '';
  return new URLSearchParams(url.slice(query + 1)).get('lastEventId') ?? '';
}
