/** Requests to the server, as the user of this page. */

const search = new URLSearchParams(location.search);

export const USERS = { 42: 'Ada', 7: 'Grace' };
export const me = search.get('user') ?? '42';
export const isAdmin = me === '42';

/** Whether this page is read by the client of the package, which shares a stream between tabs, or by the browser's own. */
export const usesClient = search.get('reader') === 'client';

export const tab = Math.random().toString(36).slice(2);

/** What the server knows the streams of this tab by, or of all tabs that share one. */
export const streamName = usesClient ? 'shared' : tab;

const problem = document.getElementById('problem');

export function withUser(path) {
  const url = new URL(path, location.origin);
  url.searchParams.set('user', me);
  return url;
}

export function showProblem(text) {
  problem.textContent = text;
  problem.hidden = text === '';
}

/** Settles when the answer begins. Rejects with what the server says where it refuses. */
export async function send(method, path, body) {
  const response = await fetch(withUser(path), {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  }).catch((error) => {
    throw new Error(`The server does not answer ${method} ${path}: ${error.message}.`);
  });
  if (response.ok) return response;
  const { message } = await response.json().catch(() => ({}));
  throw new Error(message ?? `The server answered ${response.status} to ${method} ${path}.`);
}

export async function request(method, path, body) {
  const text = await (await send(method, path, body)).text();
  return text === '' ? undefined : JSON.parse(text);
}

/** For what a visitor does: a problem is shown instead of thrown. */
export function doing(action) {
  return async (...args) => {
    try {
      await action(...args);
    } catch (error) {
      showProblem(error.message);
    }
  };
}

export function onSubmit(formId, action) {
  document.getElementById(formId).addEventListener('submit', (event) => {
    event.preventDefault();
    showProblem('');
    void doing(action)(Object.fromEntries(new FormData(event.target)));
  });
}

export function onClick(id, action) {
  document.getElementById(id).addEventListener('click', () => {
    showProblem('');
    void doing(action)();
  });
}
