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
const LINE_BREAK = /\r\n|\r|\n/;

function field(name: string, value: string): string {
  if (!value.includes('\n') && !value.includes('\r')) return `${name}: ${value}\n`;
  return value
    .split(LINE_BREAK)
    .map((line) => `${name}: ${line}\n`)
    .join('');
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
