/** A document that several people edit, each in a window of their own. */

import { addLine, byId, element, line, options, timeOf } from './dom.js';
import { doing, request, showProblem, tab, usesClient } from './server.js';

const chosen = document.querySelector('#document-form [name=id]');

let saving;
/** What was typed and not saved yet. */
let unsaved;
let clientId;

/** To whom an edit of this window is not sent, or by what the window knows it. */
const author = () => (usesClient ? { tab } : { clientId: clientId() });

function showContent({ text, version, author, tab: writer }) {
  // What it has written itself comes back to it where it shares its stream with others.
  if (writer === tab) return;
  clearTimeout(saving);
  unsaved = undefined;
  if (byId('text').value !== text) byId('text').value = text;
  showVersion(version, author);
}

function showVersion(version, author) {
  byId('version').textContent = `Version ${version}${author ? ` by ${author}` : ''}`;
}

function showViewers(viewers) {
  byId('viewers').replaceChildren(
    element('span', 'Here now: '),
    ...viewers.map((viewer, i) => element('span', `${viewer}${i < viewers.length - 1 ? ', ' : ''}`, 'viewer')),
  );
}

function came(what) {
  return ({ user, viewers }) => {
    showViewers(viewers);
    addLine(byId('activity'), line(`${user} ${what}`, timeOf(Date.now())), 20);
  };
}

export const viewing = {
  document: (content) => {
    byId('text').disabled = false;
    showContent(content);
    showViewers(content.viewers);
  },
  edit: showContent,
  joined: came('joined'),
  left: came('left'),
};

const save = doing(async () => {
  clearTimeout(saving);
  if (!unsaved) return;
  const { id, text } = unsaved;
  unsaved = undefined;
  const { version } = await request('POST', `/documents/${encodeURIComponent(id)}/edits`, { text, ...author() });
  if (id === chosen.value) showVersion(version, 'you');
  showProblem('');
});

/** `open` opens the stream of a document; `ownClientId` answers with the client of this window. */
export function startDocument(open, ownClientId) {
  clientId = ownClientId;
  const show = (id) => {
    void save();
    byId('activity').replaceChildren();
    // Until its text is there, what is typed would be that of the document before.
    byId('text').disabled = true;
    open(id);
  };
  byId('text').addEventListener('input', ({ target }) => {
    clearTimeout(saving);
    unsaved = { id: chosen.value, text: target.value };
    saving = setTimeout(save, 300);
  });
  chosen.addEventListener('change', () => show(chosen.value));
  void doing(async () => {
    const documents = await request('GET', '/documents');
    options(
      chosen,
      documents.map(({ id, title }) => [id, title]),
    );
    if (documents.length > 0) show(documents[0].id);
  })();
}
