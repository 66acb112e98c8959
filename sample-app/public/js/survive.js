/** The first panel: a flow of numbers over the hub and over a bare `@Sse()`, and buttons that break what is between. */

import { Account } from './account.js';
import { addLine, byId, count, element } from './dom.js';
import { showBehind } from './header.js';
import { doing, request, showProblem, streamName, withUser } from './server.js';
import { Tape } from './tape.js';

/** How often somebody who is away asks how far the flow is. */
const ASKING = 400;

/** Milliseconds that are waited for what was missed, before it is said that it has not come. */
const PATIENCE = 30_000;

const BREAKS = {
  cut: { what: 'Cut off', lasts: 500 },
  offline: { what: 'Offline', lasts: 10_000, body: { seconds: 10 } },
  slow: { what: 'Slow', lasts: 10_000, body: { seconds: 10 } },
  drain: { what: 'All streams ended', lasts: 500 },
  restart: { what: 'Port restarted', lasts: 1_500 },
  kill: { what: 'Node killed', lasts: 500 },
  forget: { what: 'Log thrown away', lasts: 500 },
};

let hub = new Account();
let plain = new Account();
const hubTape = new Tape(byId('hub'), hub);
const plainTape = new Tape(byId('plain'), plain);

function show() {
  showBehind(hub.behind);
  hubTape.show();
  plainTape.show();
}

/** Whether the stream begins here, and what was before it is not its affair. */
let begins = true;

/** For the stream of the page. */
export const surviving = {
  'sse.open': ({ resumed }) => {
    begins = resumed === 'none';
  },
  // What was sent when the stream began, and again when it could not go on where it was.
  flow: ({ lane, n }) => {
    if (begins) hub.begin(lane, n);
    else hub.gone(lane, n, 'told');
    show();
  },
  tick: ({ lane, n }) => {
    hub.arrived(lane, n);
    // While it is away nobody else knows what it misses.
    if (bare?.readyState === EventSource.CONNECTING) plain.sentUpTo(lane, n);
    show();
  },
};

// The bare stream is open only while it can be seen: it takes a connection of its own, so windows take turns.

let bare;
let visible = false;
/** While it is wanted: of whoever waits for its turn, or has it. */
let turn;

function compare() {
  const wanted = visible && !document.hidden;
  if (wanted === (turn !== undefined)) return;
  if (!wanted) {
    turn.abort();
    turn = undefined;
    return;
  }
  turn = new AbortController();
  const { signal } = turn;
  byId('plain-note').hidden = false;
  const connected = () =>
    new Promise((resolve) => {
      signal.addEventListener('abort', resolve);
      openBare(signal);
    });
  // Without HTTPS, and elsewhere than on this machine, browsers have no locks.
  if (navigator.locks) void navigator.locks.request('survive-plain', { signal }, connected).catch(() => {});
  else void connected();
}

function openBare(signal) {
  byId('plain-note').hidden = true;
  plain = new Account();
  plainTape.account = plain;
  const source = new EventSource(withUser(`/survive/plain?tab=${streamName}`));
  bare = source;
  signal.addEventListener('abort', () => {
    source.close();
    bare = undefined;
  });
  source.addEventListener('start', ({ data }) => {
    const { lane, n } = JSON.parse(data);
    plain.gone(lane, n, 'missing');
    show();
  });
  source.addEventListener('tick', ({ data }) => {
    const { lane, n } = JSON.parse(data);
    plain.arrived(lane, n);
    show();
  });
}

new IntersectionObserver(([{ isIntersecting }]) => {
  visible = isIntersecting;
  compare();
}).observe(byId('plain'));
document.addEventListener('visibilitychange', compare);

let asking;

async function askState() {
  const { flow } = await request('GET', '/survive/state');
  hub.sentUpTo(flow.lane, flow.n);
  plain.sentUpTo(flow.lane, flow.n);
  show();
}

async function breakIt(name, stream) {
  const { what, lasts, body } = BREAKS[name];
  const began = performance.now();
  const before = { late: hub.late, missing: hub.missing, doubled: hub.doubled, told: hub.told, lost: plain.missing };
  clearInterval(asking);
  await request('POST', `/survive/${name}?tab=${streamName}`, body);
  const verdict = element('p', `${what} …`);
  addLine(byId('verdicts'), verdict, 4);
  // It may not be there for a while: then nothing is known of what it sends.
  asking = setInterval(() => void askState().catch(() => {}), ASKING);
  const settled = () =>
    performance.now() - began > lasts + ASKING &&
    stream().state === 'live' &&
    hub.behind === 0 &&
    (bare === undefined || plain.behind < 2);
  while (!settled() && performance.now() - began < lasts + PATIENCE) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  clearInterval(asking);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  verdict.replaceChildren(element('b', `${what}, back after ${seconds} s. `), sayWhatCame(before));
}

function sayWhatCame(before) {
  const late = hub.late - before.late;
  const told = hub.told - before.told;
  const missing = hub.missing - before.missing + hub.behind;
  const doubled = hub.doubled - before.doubled;
  const lost = plain.missing - before.lost;
  const came = `The hub delivered ${count(late, 'event')} later, each once: ${missing} missing, ${count(doubled, 'duplicate')}`;
  const gone = told > 0 ? `. ${count(told, 'event')} had left the log: it said so, and sent the present state` : '';
  if (bare === undefined) return `${came}${gone}.`;
  const compared =
    lost > 0 ? `The bare stream, back in its own time, lost ${lost}.` : 'The bare stream lost none this time.';
  return `${came}${gone}. ${compared}`;
}

/** `stream` answers with the stream of the page, which is another one for another document. */
export function startSurviving(stream) {
  const buttons = document.querySelectorAll('button[data-break]');
  const enable = (enabled) => {
    for (const button of buttons) button.setAttribute('aria-disabled', String(!enabled));
  };
  let busy = false;
  for (const button of buttons) {
    button.addEventListener('click', async () => {
      if (busy || button.disabled) return;
      busy = true;
      enable(false);
      showProblem('');
      await doing(breakIt)(button.dataset.break, stream);
      enable(true);
      busy = false;
    });
  }
  byId('reset-counters').addEventListener('click', () => {
    hub = hub.again();
    hubTape.account = hub;
    plain = plain.again();
    plainTape.account = plain;
    byId('verdicts').replaceChildren();
    show();
  });
  void doing(async () => {
    const { node, nodes } = await request('GET', '/survive/state');
    byId('kill-note').textContent = nodes ? `it is ${node}` : 'needs two nodes: see compose.yaml';
    document.querySelector('[data-break=kill]').disabled = !nodes;
  })();
}
