// Everything that comes from the server is shown with textContent, so nothing of it can become markup.

const USERS = { 42: 'Ada', 7: 'Grace' };
const me = new URLSearchParams(location.search).get('user') ?? '42';
const byId = (id) => document.getElementById(id);

// --- Requests

function withUser(path) {
  const url = new URL(path, location.origin);
  url.searchParams.set('user', me);
  return url;
}

function showProblem(text) {
  byId('problem').textContent = text;
  byId('problem').hidden = text === '';
}

/** Settles when the answer begins. */
async function send(method, path, body) {
  const response = await fetch(withUser(path), {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  if (response.ok) return response;
  const { message } = await response.json().catch(() => ({}));
  throw new Error(message ?? `The server answered ${response.status}.`);
}

async function request(method, path, body) {
  const text = await (await send(method, path, body)).text();
  return text === '' ? undefined : JSON.parse(text);
}

/** For what a visitor does: a problem is shown instead of thrown. */
function doing(action) {
  return async (...args) => {
    try {
      await action(...args);
    } catch (error) {
      showProblem(error.message);
    }
  };
}

function onSubmit(formId, action) {
  byId(formId).addEventListener('submit', (event) => {
    event.preventDefault();
    showProblem('');
    void doing(action)(Object.fromEntries(new FormData(event.target)));
  });
}

// --- Streams

const RESUMED = { none: 'live', full: 'live, resumed without a loss', reset: 'live, some events were missed' };

/**
 * One event stream: its EventSource, its handlers by event name, and where its state is shown. `again` is shown when the
 * server has ended it or turned it away; `refused` is what is said of the latter.
 */
class Stream {
  #source;
  #cursor = '';
  #over = false;

  constructor(label, path, handlers, { again, refused = 'refused' } = {}) {
    this.label = label;
    this.path = path;
    this.handlers = handlers;
    this.again = again;
    this.refused = refused;
    Stream.all.add(this);
    this.resume();
  }

  static all = new Set();

  // A browser has six HTTP/1.1 connections to a server, for all tabs together. A tab that nobody looks at gives its own
  // back, and continues later with what it has missed.
  pause() {
    if (this.#over) return;
    this.#source?.close();
    this.#show('paused', 'wait');
  }

  resume() {
    if (this.#over || document.hidden) return;
    this.#show('connecting', 'wait');
    const url = withUser(this.path);
    // An EventSource resumes by itself; a new one has to be told.
    if (this.#cursor) url.searchParams.set('lastEventId', this.#cursor);
    this.#source = new EventSource(url);
    this.#listen(this.#source);
  }

  close() {
    this.#over = true;
    this.#source?.close();
    Stream.all.delete(this);
  }

  comeBack() {
    this.#over = false;
    this.#source?.close();
    this.resume();
  }

  #listen(source) {
    const on = (name, handle) =>
      source.addEventListener(name, (event) => {
        // What comes with the end would be answered with the end again. Behind the one before it the stream goes on.
        if (name !== 'sse.end') this.#cursor = event.lastEventId;
        handle(JSON.parse(event.data));
      });
    on('sse.open', ({ clientId, resumed }) => {
      this.clientId = clientId;
      this.#show(RESUMED[resumed], 'live');
    });
    on('sse.reset', ({ reason }) => this.#show(`live, some events were missed (${reason})`, 'live'));
    // Where the stream is, and nothing else: it moves on although nothing comes.
    on('sse.cursor', () => {});
    on('sse.busy', () => this.#show('the server is busy, coming back', 'wait'));
    on('sse.end', () => {
      this.#over = true;
      this.#show('ended by the server', 'over');
    });
    for (const [name, handle] of Object.entries(this.handlers)) on(name, handle);
    source.addEventListener('error', () => {
      const closed = source.readyState === EventSource.CLOSED;
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

document.addEventListener('visibilitychange', () => {
  for (const stream of Stream.all) {
    if (document.hidden) stream.pause();
    else stream.resume();
  }
});

// --- What is shown

function element(name, text, className = '') {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function line(text, aside = '') {
  const item = document.createElement('li');
  item.append(element('span', text), element('span', aside, 'aside'));
  return item;
}

function addLine(list, item, limit = 50) {
  list.prepend(item);
  while (list.children.length > limit) list.lastElementChild.remove();
}

function options(select, pairs) {
  select.replaceChildren(
    ...pairs.map(([value, text]) => {
      const option = element('option', text);
      option.value = value;
      return option;
    }),
  );
}

const timeOf = (iso) => new Date(iso).toLocaleTimeString();
const count = (number, word) => `${number.toLocaleString()} ${word}${number === 1 ? '' : 's'}`;
const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;
const percent = (value) => `${value.toFixed(1)} %`;

byId('me').textContent = USERS[me] ?? `user ${me}`;
const other = me === '7' ? '42' : '7';
byId('other').href = `/?user=${other}`;
byId('other').textContent = `Open as ${USERS[other]}`;

// --- Dashboard

const SVG = 'http://www.w3.org/2000/svg';
const POINTS = 60;

/** A number and its curve over the last minute. */
function figure(title, show, ceiling) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${POINTS - 1} 30`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const curve = document.createElementNS(SVG, 'polyline');
  svg.append(curve);
  const value = element('output', '–');
  const box = element('div', '', 'figure');
  box.append(element('h3', title), value, svg);
  byId('figures').append(box);
  const values = [];
  return (number) => {
    values.push(number);
    if (values.length > POINTS) values.shift();
    value.textContent = show(number);
    const top = Math.max(ceiling, ...values);
    const points = values.map((y, x) => `${POINTS - values.length + x},${29 - (28 * y) / top}`);
    curve.setAttribute('points', points.join(' '));
  };
}

const figures = {
  processCpu: figure('Process CPU', percent, 10),
  processMemory: figure('Process memory', megabytes, 2 ** 20),
  delay: figure('Event loop, p99', (ms) => `${ms.toFixed(1)} ms`, 5),
  streams: figure('Open streams', String, 5),
  machineCpu: figure('Machine CPU', percent, 100),
  machineMemory: figure('Machine memory', percent, 100),
  load: figure('Load, 1 min', (load) => load.toFixed(1), 1),
};

const orderLine = ({ item, quantity, by }) => line(`${quantity} × ${item}`, by);

const dashboard = {
  process: ({ node, cpuPercent, memoryBytes, eventLoopDelayMs, openStreams }) => {
    byId('node').textContent = node;
    figures.processCpu(cpuPercent);
    figures.processMemory(memoryBytes);
    figures.delay(eventLoopDelayMs);
    figures.streams(openStreams);
  },
  machine: ({ cpuPercent, memoryPercent, load }) => {
    figures.machineCpu(cpuPercent);
    figures.machineMemory(memoryPercent);
    figures.load(load);
  },
  orders: (orders) => byId('orders').replaceChildren(...orders.map(orderLine)),
  order: (order) => addLine(byId('orders'), orderLine(order), 8),
  'connections-changed': () => refreshConnections(),
};

onSubmit('order-form', ({ item, quantity }) =>
  request('POST', '/dashboard/orders', { item, quantity: Number(quantity) }),
);

// --- Notifications

const notificationLine = ({ from, text, createdAt }) => line(`${from}: ${text}`, timeOf(createdAt));

let unread = 0;

function showUnread(number) {
  unread = number;
  byId('unread').textContent = number;
}

const notifications = {
  inbox: ({ unread: number, notifications }) => {
    showUnread(number);
    byId('inbox').replaceChildren(...notifications.map(notificationLine));
  },
  // Each arrives once, so whoever begins with the right number can count on.
  notification: ({ notification }) => {
    showUnread(unread + 1);
    addLine(byId('inbox'), notificationLine(notification), 20);
  },
  read: ({ unread: number }) => showUnread(number),
};

byId('notification-form').elements.to.value = me;
onSubmit('notification-form', ({ text, to }) => request('POST', '/notifications', { text, to: Number(to) }));
byId('mark-read').addEventListener(
  'click',
  doing(() => request('POST', '/notifications/read')),
);

// --- Chat

const CHAT = 'page';

let answer;

/** The last answer, whichever window has asked; from its question on, however late this one comes. */
function followAnswer(run) {
  answer?.close();
  const over = (text = '') => {
    byId('stop-answer').hidden = true;
    byId('answer-note').textContent = text;
  };
  const handlers = {
    question: ({ text }) => {
      byId('question').textContent = text;
      byId('answer').textContent = '';
      byId('answer-note').textContent = '';
      byId('stop-answer').hidden = false;
    },
    word: ({ text }) => byId('answer').append(text),
    'answer-failed': ({ message }) => over(message),
    'answer-stopped': ({ message }) => over(message),
    'sse.end': () => (byId('stop-answer').hidden = true),
  };
  const path = run ? `/chat/${CHAT}?run=${encodeURIComponent(run)}` : `/chat/${CHAT}`;
  answer = new Stream(byId('answer-stream'), path, handlers, { refused: 'no answer' });
}

/** Comes in the stream of the page, also to the window that has asked: there is one way for all of them. */
const chatting = {
  asked: ({ chat, run }) => {
    if (chat === CHAT) followAnswer(run);
  },
};

onSubmit('chat-form', async ({ text }) => {
  // What follows is the stream of the answer, which a page without EventSource would read here.
  const { body } = await send('POST', `/chat/${CHAT}`, { text });
  await body.cancel();
});
byId('stop-answer').addEventListener(
  'click',
  doing(() => request('DELETE', `/chat/${CHAT}`)),
);
followAnswer();

// --- Document

const tab = Math.random().toString(36).slice(2);

/** All that this page follows but for an execution and an answer. */
let page;
let saving;
/** What was typed and not saved yet. */
let unsaved;

function showContent({ text, version, author }) {
  clearTimeout(saving);
  unsaved = undefined;
  byId('text').value = text;
  showVersion(version, author);
}

function showVersion(version, author) {
  byId('version').textContent = `Version ${version}${author ? ` by ${author}` : ''}`;
}

function showViewers(viewers) {
  byId('viewers').textContent = `Here now: ${viewers.join(', ')}`;
}

function came(what) {
  return ({ user, viewers }) => {
    showViewers(viewers);
    addLine(byId('activity'), line(`${user} ${what}`, timeOf(Date.now())), 20);
  };
}

const viewing = {
  document: (content) => {
    byId('text').disabled = false;
    showContent(content);
    showViewers(content.viewers);
  },
  edit: showContent,
  joined: came('joined'),
  left: came('left'),
};

/** Other topics are another stream. It begins with the present state of everything. */
function openDocument(id) {
  clearTimeout(saving);
  void save();
  page?.close();
  byId('activity').replaceChildren();
  // Until its text is there, what is typed would be that of the document before.
  byId('text').disabled = true;
  const path = `/events?document=${encodeURIComponent(id)}&tab=${tab}`;
  const handlers = { ...dashboard, ...notifications, ...viewing, ...chatting };
  page = new Stream(byId('stream'), path, handlers, { again: byId('again') });
}

const save = doing(async () => {
  if (!unsaved) return;
  const { id, text } = unsaved;
  unsaved = undefined;
  const { clientId } = page;
  const { version } = await request('POST', `/documents/${encodeURIComponent(id)}/edits`, { text, clientId });
  if (id === byId('document-form').elements.id.value) showVersion(version, 'you');
  showProblem('');
});

byId('again').addEventListener('click', () => page.comeBack());

byId('text').addEventListener('input', ({ target }) => {
  clearTimeout(saving);
  unsaved = { id: byId('document-form').elements.id.value, text: target.value };
  saving = setTimeout(save, 300);
});
byId('document-form').elements.id.addEventListener('change', (event) => openDocument(event.target.value));

void doing(async () => {
  const documents = await request('GET', '/documents');
  options(
    byId('document-form').elements.id,
    documents.map(({ id, title }) => [id, title]),
  );
  if (documents.length > 0) openDocument(documents[0].id);
})();

// --- Execution

let watched;
let watchedId;

function watch(id) {
  watched?.close();
  watchedId = id;
  byId('stop-execution').hidden = false;
  byId('tasks').replaceChildren();
  byId('progress').value = 0;
  byId('progress-text').textContent = 'Waiting for the first task.';
  const running = new Map();
  const over = (text) => {
    byId('progress-text').textContent = text;
    byId('stop-execution').hidden = true;
    void listExecutions();
  };
  watched = new Stream(byId('execution-stream'), `/executions/${encodeURIComponent(id)}/events`, {
    'task-start': ({ task }) => {
      const item = line(task, 'running');
      running.set(task, item);
      addLine(byId('tasks'), item);
    },
    'task-complete': ({ task, files, sha256 }) => {
      running.get(task)?.replaceWith(line(`${task}: ${count(files, 'file')}`, sha256.slice(0, 12)));
      running.delete(task);
    },
    progress: ({ files, bytes, tasks, ofTasks }) => {
      byId('progress').max = ofTasks;
      byId('progress').value = tasks;
      byId('progress-text').textContent =
        `${count(files, 'file')}, ${megabytes(bytes)}; ${tasks} of ${count(ofTasks, 'task')} done`;
    },
    'execution-complete': ({ files, bytes, milliseconds, sha256 }) => {
      byId('progress').value = byId('progress').max;
      over(
        `Complete: ${count(files, 'file')}, ${megabytes(bytes)} in ${(milliseconds / 1000).toFixed(1)} s, ${sha256.slice(0, 12)}…`,
      );
    },
    'execution-failed': ({ message }) => over(message),
    'execution-stopped': ({ message }) => over(message),
  });
}

const listExecutions = doing(async () => {
  const executions = await request('GET', '/executions');
  byId('late-form').hidden = executions.length === 0;
  options(
    byId('late-form').elements.id,
    executions.map(({ id, folder, state }) => [id, `${folder} (${state})`]),
  );
});

onSubmit('execution-form', async ({ folder }) => {
  const { id } = await request('POST', '/executions', { folder });
  watch(id);
  await listExecutions();
});
byId('stop-execution').addEventListener(
  'click',
  doing(() => request('DELETE', `/executions/${encodeURIComponent(watchedId)}`)),
);
onSubmit('late-form', ({ id }) => watch(id));
void listExecutions();

// --- Connections

function row(...cells) {
  const made = document.createElement('tr');
  for (const cell of cells) {
    const data = document.createElement('td');
    data.append(cell);
    made.append(data);
  }
  return made;
}

function timeCell(iso) {
  return element('span', timeOf(iso), 'time');
}

function disconnectButton(id) {
  const button = element('button', 'Disconnect', 'quiet');
  button.addEventListener(
    'click',
    doing(() => request('DELETE', `/admin/connections/${encodeURIComponent(id)}`)),
  );
  return button;
}

let refreshing;

/** Many changes, in a replay above all, are one request. */
function refreshConnections() {
  clearTimeout(refreshing);
  refreshing = setTimeout(
    doing(async () => {
      const { node, open, oldest, topics, connections } = await request('GET', '/admin/connections');
      byId('open-connections').textContent = open;
      byId('oldest').textContent = oldest
        ? `Of ${node}. The oldest is ${oldest.user}'s, open since ${timeOf(oldest.connectedAt)}.`
        : `Of ${node}.`;
      byId('topics').replaceChildren(
        ...topics.map(({ topic, connections: streams, oldest: first }) =>
          row(topic, String(streams), timeCell(first.connectedAt)),
        ),
      );
      byId('connections').replaceChildren(
        ...connections.map(({ id, user, topics: followed, connectedAt }) =>
          row(user, followed.join(', '), timeCell(connectedAt), disconnectButton(id)),
        ),
      );
    }),
    100,
  );
}

if (me === '42') refreshConnections();
else byId('admin').hidden = true;
