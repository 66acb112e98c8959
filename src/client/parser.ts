/** An event as it came: its name, its data as text, and the last event ID behind it. */
export type WireEvent = readonly [event: string, data: string, lastEventId: string];

/** What has been read of one stream. */
export interface Parser {
  /** Moves with the end of every block that has an `id`, also of one without data. */
  lastEventId: string;
  /** Milliseconds, once the stream has said so. */
  retry?: number;
  /** Reads on, and answers with the events that are complete. What is torn off at the end is never one. */
  push(text: string): WireEvent[];
}

/**
 * Reads an event stream that comes in pieces, cut anywhere ([spec] HTML, 9.2.6). A block that has no `id` leaves the last
 * event ID as it is, over a reconnect too, as browsers have it.
 */
export function createParser(lastEventId: string): Parser {
  let rest = '';
  let endedWithCR = false;
  let id = lastEventId;
  let event = '';
  let data: string | undefined;

  function readLine(line: string, events: WireEvent[]): void {
    if (line === '') {
      parser.lastEventId = id;
      if (data !== undefined) events.push([event || 'message', data, id]);
      event = '';
      data = undefined;
      return;
    }
    const [, field, value = ''] = /^([^:]*)(?:: ?([^]*))?$/.exec(line)!;
    if (field === 'data') data = data === undefined ? value : `${data}\n${value}`;
    else if (field === 'event') event = value;
    else if (field === 'id') id = value.includes('\0') ? id : value;
    else if (field === 'retry' && /^\d+$/.test(value)) parser.retry = Number(value);
  }

  const parser: Parser = {
    lastEventId,
    push(text) {
      const events: WireEvent[] = [];
      // The end of a line may be cut between its CR and its LF.
      const lines = (endedWithCR && text.startsWith('\n') ? text.slice(1) : text).split(/\r\n|\r|\n/);
      if (text !== '') endedWithCR = text.endsWith('\r');
      lines[0] = rest + lines[0]!;
      rest = lines.pop()!;
      for (const line of lines) readLine(line, events);
      return events;
    },
  };
  return parser;
}
