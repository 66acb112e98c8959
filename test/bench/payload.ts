import type { Payload } from './contenders/contender.js';

/** What the generator counts: one byte that is in every event once, and nowhere else in a stream. */
export const MARKER = '^';
/** Microseconds on the machine's monotonic clock, which all processes share. */
export const TIME_DIGITS = 16;

const WORDS = 'order price bid ask filled open closed amount user market limit stop volume trade'.split(' ');

/** Text such as applications send, so that a compressor has neither an easy nor an impossible time. */
function textOf(length: number): string {
  let text = '';
  for (let seed = 1; text.length < length; seed = (seed * 48_271) % 2_147_483_647) {
    text += `${WORDS[seed % WORDS.length]} ${seed % 9_973} `;
  }
  return text.slice(0, length);
}

const texts = new Map<number, string>();

/** An event whose JSON has this many bytes. */
export function payloadOf(size: number): Payload {
  const mark = MARKER + String(process.hrtime.bigint() / 1_000n).padStart(TIME_DIGITS, '0');
  const overhead = JSON.stringify({ mark, text: '' }).length;
  const text = texts.get(size) ?? textOf(size - overhead);
  texts.set(size, text);
  return { mark, text };
}
