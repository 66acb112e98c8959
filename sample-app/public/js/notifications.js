/** What concerns one user, and how much of it is unread. */

import { addLine, byId, line, timeOf } from './dom.js';
import { me, onClick, onSubmit, request, USERS } from './server.js';

const notificationLine = ({ from, text, createdAt }) => line(`${from}: ${text}`, timeOf(createdAt));

let unread = 0;
/** What the stream began with. */
let begun = new Set();

function showUnread(number) {
  unread = number;
  byId('unread').textContent = number;
}

export const notifying = {
  inbox: ({ unread: number, notifications }) => {
    showUnread(number);
    begun = new Set(notifications.map(({ id }) => id));
    byId('inbox').replaceChildren(...notifications.map(notificationLine));
  },
  // Each arrives once, so whoever begins with the right number can count on. Only what was published in the moment in which
  // the stream began may be in its beginning, too.
  notification: ({ notification }) => {
    if (begun.delete(notification.id)) return;
    showUnread(unread + 1);
    addLine(byId('inbox'), notificationLine(notification), 20);
  },
  read: ({ unread: number }) => showUnread(number),
};

export function startNotifications() {
  const other = me === '7' ? '42' : '7';
  byId('me').textContent = USERS[me] ?? `user ${me}`;
  byId('other').href = `/?user=${other}`;
  byId('other').textContent = `Open as ${USERS[other]}`;
  document.querySelector('#notification-form [name=to]').value = me;
  onSubmit('notification-form', ({ text, to }) => request('POST', '/notifications', { text, to: Number(to) }));
  onClick('mark-read', () => request('POST', '/notifications/read'));
}
