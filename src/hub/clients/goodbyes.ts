import type { DisconnectReason } from '../../sse.client.js';

/** How a stream ends. */
export interface Goodbye {
  readonly reason: DisconnectReason;
  /** What has been published leaves first, as far as the transport takes it. */
  readonly flush: boolean;
  /** The last event: none, `sse.end` (it is over for good), or `sse.expired` (its rights are). */
  readonly farewell: 'none' | 'end' | 'expired';
  /**
   * What becomes of the response. `planned`: it ends as was asked for those who are to come back; `end`: in an orderly way;
   * `destroyed`: at once, whatever is still unwritten; `gone`: there is none any more.
   */
  readonly response: 'planned' | 'end' | 'destroyed' | 'gone';
}

/** Every end of a stream but that at shutdown, which comes with a `retry` of its own. */
export const GOODBYES = {
  /** The other side has left. */
  closed: { reason: 'closed', flush: false, farewell: 'none', response: 'gone' },
  /** All that it follows is closed. */
  finished: { reason: 'finished', flush: false, farewell: 'end', response: 'end' },
  /** The application ends it for good. */
  removed: { reason: 'removed', flush: true, farewell: 'end', response: 'end' },
  /** The application has it come back. */
  sentBack: { reason: 'removed', flush: true, farewell: 'none', response: 'planned' },
  /** What has been done to its group meanwhile nobody can tell: the application is asked again, as it comes back. */
  askedAgain: { reason: 'removed', flush: false, farewell: 'none', response: 'planned' },
  /** Its group was full. */
  evicted: { reason: 'evicted', flush: true, farewell: 'end', response: 'end' },
  /** Another has taken its place, and it is not to come back: it would take that one's in turn. */
  replaced: { reason: 'replaced', flush: false, farewell: 'none', response: 'end' },
  expired: { reason: 'expired', flush: true, farewell: 'expired', response: 'planned' },
  age: { reason: 'age', flush: true, farewell: 'none', response: 'planned' },
  /** Code of the application's failed: a filter, or `initial`. */
  failed: { reason: 'error', flush: false, farewell: 'none', response: 'planned' },
  /** Its transport broke, in a way that nobody foresaw. */
  broken: { reason: 'error', flush: false, farewell: 'none', response: 'destroyed' },
  /** It accepts nothing. */
  slow: { reason: 'slow', flush: false, farewell: 'none', response: 'destroyed' },
} as const satisfies Record<string, Goodbye>;

export type GoodbyeKind = keyof typeof GOODBYES;
