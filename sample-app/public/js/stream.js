/** Streams: with the browser's own EventSource, or with the client of the package. */

import { usesClient, withUser } from './server.js';

const RESUMED = { none: 'live', full: 'live, resumed without a loss', reset: 'live, some events were missed' };

const { EventSource: Source } = usesClient ? await import('/vendor/client/index.js') : globalThis;

const streams = new Set();

// A browser has six HTTP/1.1 connections to a server, for all tabs together. A tab that nobody looks at gives its own
// back, and continues later with what it has missed.
document.addEventListener('visibilitychange', () => {
  for (const stream of streams) {
    if (document.hidden) stream.pause();
    else stream.resume();
  }
});

/**
 * One event stream: its source, its handlers by event name, and where its state is shown. `again` is a button that is
 * shown when the server has ended it or turned it away; `refused` is what is said of the latter. With `share` it is one
 * for all tabs, where the client of the package is there to do it. `onFrame` is told of every event.
 */
export class Stream {
  #source;
  #cursor = '';
  #over = false;

  constructor(label, path, handlers, { again, refused = 'refused', share = false, onFrame } = {}) {
    this.label = label;
    this.path = path;
    this.handlers = handlers;
    this.again = again;
    this.refused = refused;
    this.share = share;
    this.onFrame = onFrame;
    streams.add(this);
    this.resume();
  }

  get #shares() {
    return usesClient && this.share;
  }

  get state() {
    return this.label.dataset.state;
  }

  pause() {
    // One that is shared costs the other tabs nothing.
    if (this.#over || this.#shares) return;
    this.#source?.close();
    this.#source = undefined;
    this.#show('paused', 'wait');
  }

  resume() {
    if (this.#over || this.#source || document.hidden) return;
    this.#show('connecting', 'wait');
    const url = withUser(this.path);
    // A source resumes by itself; a new one has to be told. Tabs that share have the same URL.
    if (this.#cursor && !this.#shares) url.searchParams.set('lastEventId', this.#cursor);
    this.#source = this.#shares ? new Source(url, { share: true }) : new Source(url);
    this.#listen(this.#source);
  }

  close() {
    this.#over = true;
    this.#source?.close();
    streams.delete(this);
  }

  comeBack() {
    this.#over = false;
    this.#source?.close();
    this.#source = undefined;
    this.resume();
  }

  #listen(source) {
    const on = (name, handle) =>
      source.addEventListener(name, (event) => {
        if (source !== this.#source) return;
        // What comes with the end would be answered with the end again. Behind the one before it the stream goes on.
        if (name !== 'sse.end') this.#cursor = event.lastEventId;
        this.onFrame?.(name, event);
        handle(JSON.parse(event.data));
      });
    const own = {
      'sse.open': ({ clientId, resumed }) => {
        this.clientId = clientId;
        this.#show(RESUMED[resumed], 'live');
      },
      'sse.reset': ({ reason }) => this.#show(`live, some events were missed (${reason})`, 'live'),
      // Where the stream is, and nothing else: it moves on although nothing comes.
      'sse.cursor': () => {},
      'sse.busy': () => this.#show('the server is busy, coming back', 'wait'),
      'sse.end': () => {
        this.#over = true;
        this.#show('ended by the server', 'over');
      },
    };
    for (const name of new Set([...Object.keys(own), ...Object.keys(this.handlers)])) {
      on(name, (data) => {
        own[name]?.(data);
        this.handlers[name]?.(data);
      });
    }
    source.addEventListener('error', () => {
      if (source !== this.#source) return;
      const closed = source.readyState === source.CLOSED;
      if (this.#over) this.#show(closed ? 'ended, the browser stays away' : 'ended by the server', 'over');
      else if (closed) this.#show(this.refused, 'over');
      else this.#show('reconnecting', 'wait');
    });
  }

  #show(text, state) {
    this.label.textContent = text;
    this.label.dataset.state = state;
    if (this.again) this.again.hidden = state !== 'over';
  }
}
