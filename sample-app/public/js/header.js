/** What is known of the page's one stream, in the strip at the top. */

import { age, byId, bytesOf } from './dom.js';

const KEPT_FRAMES = 40;

const utf8 = new TextEncoder();
const frames = [];
let received = 0;
let last;

/** The lines of an event, as they were in the stream. */
function frameOf(name, { lastEventId, data }) {
  const lines = data.split('\n').map((line) => `data: ${line}`);
  return [`event: ${name}`, `id: ${lastEventId}`, ...lines, ''].join('\n');
}

export function noteFrame(name, event) {
  const frame = frameOf(name, event);
  received += utf8.encode(frame).length + 1;
  const wasQuiet = last === undefined || Date.now() - last.at > 1_000;
  last = { name, at: Date.now() };
  if (wasQuiet) showLast();
  frames.push(frame);
  if (frames.length > KEPT_FRAMES) frames.shift();
  byId('position').textContent = shorten(event.lastEventId);
  byId('position').title = event.lastEventId;
  if (!byId('frames').hidden) showFrames();
}

/** Where in the log: the life of the log in front of it is the same for all. */
function shorten(cursor) {
  return cursor.split('~').at(2) ?? cursor;
}

export function showBehind(events) {
  byId('behind').textContent = events;
  byId('behind').classList.toggle('many', events > 2);
}

function showFrames() {
  const list = byId('frame-list');
  list.textContent = frames.join('\n');
  list.scrollTop = list.scrollHeight;
}

byId('show-frames').addEventListener('click', ({ currentTarget }) => {
  const { hidden } = byId('frames');
  byId('frames').hidden = !hidden;
  currentTarget.setAttribute('aria-expanded', String(hidden));
  if (hidden) showFrames();
});

function showLast() {
  byId('bytes').textContent = bytesOf(received);
  if (last) byId('last-event').textContent = `${last.name}, ${age(Date.now() - last.at)} ago`;
}

setInterval(showLast, 500);
