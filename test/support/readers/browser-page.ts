import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { ROOT } from '../root.js';
import { CLIENT_SCRIPT } from './client-bundle.js';

/** As an application's bundler makes it. */
const FETCH_EVENT_SOURCE = execFileSync(
  join(ROOT, 'node_modules/.bin/esbuild'),
  ['node_modules/@microsoft/fetch-event-source/lib/esm/index.js', '--bundle', '--format=iife', '--global-name=fes'],
  { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
);

const SCRIPT = `
const control = location.hash.slice(1);
const sources = [];
let untold = [];
let telling = false;
let told = 0;

// The test's own way to the page must not be what fails: a connection that was idle may be gone when it is used again.
async function ask(what, init) {
  for (;;) {
    try {
      return await (await fetch(control + what, init)).json();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

// WebKit puts the text of a request into normal form (NFC).
function inAscii(json) {
  return json.replace(/[^\\0-\\x7f]/g, (unit) => '\\\\u' + unit.charCodeAt(0).toString(16).padStart(4, '0'));
}

async function tell(one) {
  untold.push(one);
  if (telling) return;
  telling = true;
  while (untold.length > 0) {
    const body = inAscii(JSON.stringify({ from: told, untold }));
    told += untold.length;
    untold = [];
    await ask('/tell', { method: 'POST', body });
  }
  telling = false;
}

function eventSource(Source, options) {
  return (number, url, names) => {
    const source = new Source(url, options);
    const listener = ({ type: event, data, lastEventId }) =>
      tell({ number, event, data, lastEventId, state: source.readyState });
    for (const name of new Set([...names, 'open', 'error'])) source.addEventListener(name, listener);
    return () => source.close();
  };
}

const readers = {
  EventSource: eventSource(EventSource),
  client: eventSource(sseHub.EventSource),
  sharingClient: eventSource(sseHub.EventSource, { share: true }),
  fetchEventSource(number, url) {
    const abort = new AbortController();
    fes.fetchEventSource(url, {
      signal: abort.signal,
      openWhenHidden: true,
      onopen: async () => tell({ number, event: 'open', state: 1 }),
      onmessage: ({ event, data, id }) => tell({ number, event: event || 'message', data, lastEventId: id }),
      onerror: () => void tell({ number, event: 'error', state: 0 }),
      onclose: () => tell({ number, event: 'close', state: 2 }),
    });
    return () => abort.abort();
  },
};

const acts = {
  // Nothing more is done here: who asked again while it leaves would be sent on again, and the next page be loaded twice.
  go: ({ url }) => {
    location.replace(url);
    return new Promise(() => {});
  },
  open: ({ number, reader, url, names }) => {
    sources[number] = readers[reader](number, url, names);
  },
  close: ({ number }) => sources[number](),
};

async function run() {
  await tell({ event: 'page' });
  for (;;) {
    for (const command of await ask('/commands')) await acts[command.do](command);
  }
}
void run();
`;

/** A page that does what it is told to, and tells what it got. */
export const PAGE = `<!doctype html><meta charset="utf-8"><title>test</title>
<script>${FETCH_EVENT_SOURCE}</script>
<script>${CLIENT_SCRIPT}</script>
<script>${SCRIPT}</script>
`;
