/** Brings the panels and the stream of the page together. */

import { administering, startAdmin } from './admin.js';
import { chatting, startChat } from './chat.js';
import { startDashboard, watching } from './dashboard.js';
import { byId } from './dom.js';
import { startDocument, viewing } from './document.js';
import { noteFrame } from './header.js';
import { announcing, startJob } from './job.js';
import { loading, startLoad } from './load.js';
import { notifying, startNotifications } from './notifications.js';
import { streamName, usesClient } from './server.js';
import { startSources } from './source.js';
import { Stream } from './stream.js';
import { startSurviving, surviving } from './survive.js';

/** All that this page follows but for an answer and an execution, which end. */
let page;

const handlers = {
  ...surviving,
  ...chatting,
  ...notifying,
  ...watching,
  ...loading,
  ...viewing,
  ...announcing,
  ...administering,
};

/** Other topics are another stream. It begins with the present state of everything. */
function openPage(id) {
  page?.close();
  const path = `/events?document=${encodeURIComponent(id)}&tab=${streamName}${usesClient ? '&shared' : ''}`;
  page = new Stream(byId('stream'), path, handlers, { again: byId('again'), share: true, onFrame: noteFrame });
}

byId('again').addEventListener('click', () => page.comeBack());
for (const radio of document.querySelectorAll('[name=reader]')) {
  radio.checked = (radio.value === 'client') === usesClient;
  radio.addEventListener('change', () => {
    const url = new URL(location.href);
    url.searchParams.set('reader', radio.value);
    location.assign(url);
  });
}

startSurviving(() => page);
startDocument(openPage, () => page?.clientId);
startChat();
startNotifications();
startDashboard();
startLoad();
startJob();
startAdmin(() => page?.clientId);
startSources();
