import type { ResetReason } from '../sse.client.js';
import type { AnyEventDataOf, AnyEventNameOf } from '../sse.events.js';

/** What the hub itself says, by its names: docs/reference/wire-format.md. */
export interface ControlEvents {
  'sse.open': { clientId: string; resumed: 'none' | 'full' | 'reset'; heartbeatInterval: number };
  /** Events between the last one and the next are gone: fetch the present state. */
  'sse.reset': { reason: ResetReason; topics: string[] };
  'sse.closed': { topic: string };
  'sse.busy': { reason: string };
  'sse.expired': Record<string, never>;
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

export interface EventSourceEventMap {
  open: Event;
  message: MessageEvent;
  error: EventSourceError;
}
