/** The last answer, whichever window has asked; from its question on, however late this one comes. */

import { byId } from './dom.js';
import { onClick, onSubmit, request, send } from './server.js';
import { Stream } from './stream.js';

const CHAT = 'page';

let answer;

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
export const chatting = {
  asked: ({ chat, run }) => {
    if (chat === CHAT) followAnswer(run);
  },
};

export function startChat() {
  onSubmit('chat-form', async ({ text }) => {
    // What follows is the stream of the answer, which a page without EventSource would read here.
    const { body } = await send('POST', `/chat/${CHAT}`, { text });
    await body.cancel();
  });
  onClick('stop-answer', () => request('DELETE', `/chat/${CHAT}`));
  followAnswer();
}
