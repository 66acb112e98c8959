/**
 * One block of an event stream, ended by a blank line.
 * [spec] WHATWG HTML, section 9.2.5: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
export interface Block {
  readonly comment?: string;
  readonly event?: string;
  readonly id?: string;
  readonly retry?: number;
  readonly data?: string;
}

// [spec] 9.2.5: lines end with CR LF, LF or CR. Each line of the value becomes a field of its own.
const LINE_BREAK = /\r\n?|\n/g;
const LF = 10;
const CR = 13;

function isSingleLine(value: string): boolean {
  return !value.includes('\n') && !value.includes('\r');
}

function field(name: string, value: string): string {
  if (isSingleLine(value)) return `${name}: ${value}\n`;
  return `${name}: ${value.replaceAll(LINE_BREAK, `\n${name}: `)}\n`;
}

/**
 * Bytes of a value on the wire, from behind the name of its first field to the end of its last line: more than it has,
 * because every line begins with the name. What is beyond `enough` is not counted to its end.
 */
export function encodedSize(name: 'data' | '', value: string, enough = Infinity): number {
  let size = Buffer.byteLength(value);
  if (isSingleLine(value)) return size;
  for (let i = 0; i < value.length && size <= enough; i++) {
    const char = value.charCodeAt(i);
    if (char === CR && value.charCodeAt(i + 1) === LF) size--;
    else if (char === CR || char === LF) size += name.length + 2;
  }
  return size;
}

/** The text of a block. Its single-line fields have been checked where the event came in; nothing is cleaned up here. */
export function encodeBlock(block: Block): string {
  let text = '';
  if (block.comment !== undefined) text += field('', block.comment);
  if (block.event !== undefined) text += `event: ${block.event}\n`;
  if (block.id !== undefined) text += `id: ${block.id}\n`;
  if (block.retry !== undefined) text += `retry: ${block.retry}\n`;
  if (block.data !== undefined) text += field('data', block.data);
  return `${text}\n`;
}
