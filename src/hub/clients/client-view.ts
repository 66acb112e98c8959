import type { SSEClient } from '../../sse.client.js';
import type { ClientSettings } from './client-settings.js';
import type { Place } from './place.js';

/** What is to be seen of a client. */
export interface Viewed {
  readonly id: string;
  readonly group: string | undefined;
  readonly connected: boolean;
  readonly topics: ReadonlySet<string>;
  readonly metadata: Record<string, unknown>;
  /** On the clock of `performance.now()`. */
  readonly openedAt: number;
  readonly timer: { readonly lastBeat: number | undefined };
  readonly place: Place;
  readonly behind: number;
  readonly response: unknown;
}

/** A client as applications see it: they can read it, and not act on it. */
export class ClientView implements SSEClient {
  readonly #client: Viewed;

  constructor(client: Viewed) {
    this.#client = client;
  }

  get id(): string {
    return this.#client.id;
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  get group(): string | undefined {
    return this.#client.group;
  }

  get topics(): ReadonlySet<string> {
    return this.#client.topics;
  }

  get metadata(): Record<string, unknown> {
    return this.#client.metadata;
  }

  get connectedAt(): string {
    return isoTime(this.#client.openedAt);
  }

  get lastEventId(): string | undefined {
    return this.#client.place.cursor;
  }

  get lastEventAt(): string | undefined {
    const { eventAt } = this.#client.place;
    return eventAt === undefined ? undefined : isoTime(eventAt);
  }

  get lastHeartbeatAt(): string | undefined {
    const { lastBeat } = this.#client.timer;
    return lastBeat === undefined ? undefined : isoTime(lastBeat);
  }

  get behind(): number {
    return this.#client.behind;
  }

  get response(): unknown {
    return this.#client.response;
  }

  /** What is safe to send to others: all but the response. */
  toJSON(): Omit<SSEClient, 'topics' | 'response'> & { topics: string[] } {
    const { id, connected, group, topics, metadata, connectedAt } = this;
    const { lastEventId, lastEventAt, lastHeartbeatAt, behind } = this;
    const json = { id, connected, group, metadata, connectedAt, lastEventId, lastEventAt, lastHeartbeatAt, behind };
    return { ...json, topics: [...topics] };
  }
}

/** A client whose request was answered without a stream: it is gone from the start. */
export class TurnedAway implements SSEClient {
  readonly id: string;
  readonly connected = false;
  readonly behind = 0;
  readonly topics: ReadonlySet<string> = new Set();
  readonly metadata: Record<string, unknown>;
  readonly connectedAt = new Date().toISOString();
  readonly group?: string;

  constructor({ id, group, metadata = {} }: ClientSettings) {
    this.id = id;
    this.metadata = metadata;
    if (group !== undefined) this.group = group;
  }
}

function isoTime(monotonic: number): string {
  return new Date(wallTime(monotonic)).toISOString();
}

/** When something was, in milliseconds since 1970, that has a time of `performance.now()`. */
export function wallTime(monotonic: number): number {
  return Date.now() - (performance.now() - monotonic);
}
