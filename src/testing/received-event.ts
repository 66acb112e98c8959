import type { ResetReason, Resumed } from '../sse.client.js';

/** An event as it was received. */
export interface ReceivedEvent<Name extends string = string, Data = unknown> {
  /** Its name; `message` for one without. */
  readonly event: Name;
  /** Read as JSON where it is JSON, else the text. */
  readonly data: Data;
  /** The data as they came. */
  readonly text: string;
  /** What a reader sends as `Last-Event-ID` that has got this far. */
  readonly lastEventId: string;
}

/** The hub's own events, with their data. */
export interface ControlEvents {
  'sse.open': { clientId: string; resumed: Resumed; heartbeatInterval: number };
  'sse.reset': { reason: ResetReason; topics: string[] };
  'sse.closed': { topic: string };
  'sse.cursor': object;
  'sse.end': object;
  'sse.expired': object;
  'sse.busy': object;
}

/** An event of a stream whose events are known: names and data belong together. */
export type EventOf<Events extends object> = {
  [Name in keyof Events & string]: ReceivedEvent<Name, Events[Name]>;
}[keyof Events & string];

export function isControl({ event }: ReceivedEvent): boolean {
  return event.startsWith('sse.');
}

export function parseData(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** How many kinds of events a failure lists. */
const MOST_SHOWN = 10;
/** Characters of their data. */
const MOST_TEXT = 80;

/** Says in one line what has come: `'sse.open' {"clientId"…, 'updated' {"id":7} ×2`. */
export function listed(events: readonly ReceivedEvent[], comments: number): string {
  const runs: { readonly first: ReceivedEvent; count: number }[] = [];
  for (const event of events) {
    const last = runs.at(-1);
    if (last?.first.event === event.event) last.count++;
    else runs.push({ first: event, count: 1 });
  }
  const parts = runs.slice(-MOST_SHOWN).map(({ first: { event, text }, count }) => {
    const shown = text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text;
    return `'${event}' ${shown}${count > 1 ? ` ×${count}` : ''}`;
  });
  if (runs.length > MOST_SHOWN) parts.unshift('…');
  if (comments > 0) parts.push(`${comments} ${comments > 1 ? 'comments' : 'comment'}`);
  return parts.length > 0 ? parts.join(', ') : 'nothing';
}
