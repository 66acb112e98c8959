/** Who is connected to this node, what goes through it, and how full its log is. For administrators. */

import { age, byId, bytesOf, count, element, timeOf } from './dom.js';
import { doing, isAdmin, request } from './server.js';

const REFRESH = 2_000;

/** More rows than anybody reads: a crowd of clients is told as a number. */
const ROWS = 30;

const panel = byId('admin');

function row(...cells) {
  const made = document.createElement('tr');
  for (const cell of cells) {
    const data = document.createElement('td');
    data.append(cell);
    made.append(data);
  }
  return made;
}

function endButton(id, user, mine) {
  const button = element('button', 'End', 'quiet small');
  button.setAttribute('aria-label', mine ? 'End the stream of this page' : `End this stream of ${user}`);
  button.addEventListener(
    'click',
    doing(async () => {
      await request('DELETE', `/admin/connections/${encodeURIComponent(id)}`);
      refresh();
    }),
  );
  return button;
}

function connectionRow({ id, user, topics, group = '–', connectedAt, position = '–', lag }, own) {
  const mine = id === own;
  const who = element('span', mine ? `${user}, this page` : String(user ?? '–'));
  const place = element('code', position.split('~').at(2) ?? position);
  place.title = position;
  const made = row(
    who,
    topics.join(', '),
    group,
    age(Date.now() - Date.parse(connectedAt)),
    place,
    String(lag ?? '–'),
    endButton(id, user, mine),
  );
  made.classList.toggle('mine', mine);
  return made;
}

function showConnections({ node, open, connections }, own) {
  byId('open-connections').textContent = count(open, 'stream');
  byId('admin-node').textContent = node;
  // Those of a load are only counted.
  const shown = connections.slice(0, ROWS).map((connection) => connectionRow(connection, own));
  const others = open - shown.length;
  if (others > 0) {
    const rest = row(`and ${others.toLocaleString()} more`);
    rest.firstElementChild.colSpan = 7;
    shown.push(rest);
  }
  const focused = document.activeElement?.closest?.('#connections tr');
  const focusedRow = focused ? [...byId('connections').children].indexOf(focused) : -1;
  byId('connections').replaceChildren(...shown);
  // Rows are made anew: whoever goes through them by keyboard stays where they are.
  if (focusedRow >= 0) byId('connections').children[focusedRow]?.querySelector('button')?.focus();
}

function showHub({ rates, history }) {
  const most = Math.max(1, ...rates.map(({ perSecond }) => perSecond));
  byId('rates').replaceChildren(
    ...rates.slice(0, 8).map(({ topic, perSecond }) => {
      const item = document.createElement('li');
      const bar = document.createElement('meter');
      bar.max = most;
      bar.value = perSecond;
      bar.setAttribute('aria-label', topic);
      item.append(element('span', topic), bar, element('span', perSecond.toFixed(1), 'aside'));
      return item;
    }),
  );
  const { events, bytes, oldest, maxBytes } = history;
  byId('log-events').textContent = `${events.toLocaleString()} events`;
  byId('log-bytes').textContent = `${bytesOf(bytes)} of ${bytesOf(maxBytes)}`;
  byId('log-bytes-fill').value = bytes / maxBytes;
  byId('log-oldest').textContent = oldest ? `The oldest is of ${timeOf(oldest)}.` : '';
}

let refresh = () => {};

/** Many changes, in a replay above all, are one request. */
export const administering = { 'connections-changed': () => refresh() };

export function startAdmin(clientId) {
  if (!isAdmin) {
    panel.hidden = true;
    return;
  }
  let visible = false;
  let due;
  refresh = () => {
    clearTimeout(due);
    if (document.hidden) return;
    due = setTimeout(async () => {
      await doing(async () => {
        const [connections, hub] = await Promise.all([
          request('GET', '/admin/connections'),
          request('GET', '/admin/hub'),
        ]);
        showConnections(connections, clientId());
        showHub(hub);
      })();
    }, 100);
  };
  new IntersectionObserver(([{ isIntersecting }]) => {
    visible = isIntersecting;
    if (visible) refresh();
  }).observe(panel);
  // Positions and rates change all the time, and only whoever looks at them needs the newest.
  setInterval(() => visible && refresh(), REFRESH);
  refresh();
}
