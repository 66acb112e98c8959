import { setTimeout as delay } from 'node:timers/promises';

/** Milliseconds for a word, about as fast as a language model is. */
const WORD_TIME = 60;

const SENTENCES = [
  'I am not a language model, only a few sentences that arrive word by word.',
  'Reload this page in the middle of one: it goes on where it was, because the answer is a run, which nobody has to watch.',
  'Open a second window, and it shows the same.',
  'Press Stop, and it stops for everybody, on whichever node it is made.',
  'And if that node dies, you are told so, instead of waiting for the next word.',
];

/** The whole answer. */
export function answerTo(question: string): string {
  return [`You asked: “${question}”`, ...SENTENCES].join(' ');
}

/** Stands in for a language model, and needs no network. */
export async function* streamAnswer(question: string, signal: AbortSignal): AsyncGenerator<string> {
  for (const word of answerTo(question).split(/(?<=\s)/)) {
    await delay(WORD_TIME, undefined, { signal });
    yield word;
  }
}
