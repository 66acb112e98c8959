import type { ResetReason } from '../sse.client.js';
import type { AnyEventDataOf, AnyEventNameOf } from '../sse.events.js';

/** What the hub itself says, by its names: docs/reference/wire-format.md. */
export interface ControlEvents {
  /** A connection is there: what it is called, whether something was missed, and how often it shows that it lives, in milliseconds. */
  'sse.open': { clientId: string; resumed: 'none' | 'full' | 'reset'; heartbeatInterval: number };
  /** Events between the last one and the next are gone: fetch the present state. */
  'sse.reset': { reason: ResetReason; topics: string[] };
  /** One of several topics is finished. */
  'sse.closed': { topic: string };
  /** Refused for now; the source comes back. */
  'sse.busy': { reason: 'full' | 'shutdown' | 'pipelined' | 'outdated' };
  /** The time of these credentials is up; the source comes back with fresh ones. */
  'sse.expired': Record<string, never>;
  /** Over for good; the source is closed behind it. */
  'sse.end': Record<string, never>;
}

/** The names of an application's events, and of the hub's. */
export type NameOf<Events> = AnyEventNameOf<Events> | keyof ControlEvents;

/** The data of an event, parsed. */
export type DataOf<Events, Name> = Name extends keyof ControlEvents
  ? ControlEvents[Name]
  : AnyEventDataOf<Events, Name>;

/** An event as a loop over the source gives it. */
export type StreamEvent<Events> = {
  [Name in NameOf<Events>]: { event: Name; data: DataOf<Events, Name>; lastEventId: string };
}[NameOf<Events>];

/** An `error` event, with what the standard leaves out. */
export interface EventSourceError extends Event {
  /** The status of the answer, where there was one. */
  readonly code?: number | undefined;
  /** What happened, and whether the stream comes back. */
  readonly message?: string;
}

/** The events that an `EventSource` has beside those of the stream. */
export interface EventSourceEventMap {
  open: Event;
  message: MessageEvent;
  error: EventSourceError;
}
