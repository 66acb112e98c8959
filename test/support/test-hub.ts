import { setImmediate } from 'node:timers/promises';

import { jest } from '@jest/globals';

import type { Backplane, Entry, EventEntry, LogReader } from '../../src/backplane/backplane.js';
import { Client } from '../../src/hub/client.js';
import { Hub } from '../../src/hub/hub.js';
import type { ClientSettings } from '../../src/hub/sse-client.js';
import { formatCursor, ORIGIN, type Position } from '../../src/protocol/cursor.js';
import { resolveConfig, type SSEConfig } from '../../src/sse.config.js';
import { entranceOf, FakeTransport } from './fake-transport.js';

/** The end of a turn of the event loop, when what was published in it has left. */
export async function turn(count = 1): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate();
}

/** Time as the hub sees it; it stands still until it is moved. Undone by `jest.restoreAllMocks()`. */
export class StandingClock {
  #now = 100_000;

  constructor() {
    jest.spyOn(performance, 'now').mockImplementation(() => this.#now);
    jest.spyOn(Date, 'now').mockImplementation(() => 1_700_000_000_000 + this.#now);
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}

/** A log in memory that says where its entries are, and can lose some. */
export class TestLog implements Backplane {
  readonly kind = 'test';
  readonly status = 'up';
  readonly epoch = 'e1';
  /** Where each entry is. */
  readonly cursors: string[] = [];
  readonly #readers = new Set<LogReader>();
  #last: Position = ORIGIN;

  start(reader: LogReader): Promise<void> {
    if (this.#readers.has(reader)) return Promise.resolve();
    this.#readers.add(reader);
    reader.begin(this.epoch, this.#last);
    reader.ready();
    return Promise.resolve();
  }

  append(entry: Entry): Promise<Position> {
    const previous = this.#last;
    const position = this.#advance();
    for (const reader of this.#readers) reader.deliver([{ epoch: this.epoch, position, previous, entry }]);
    return Promise.resolve(position);
  }

  /** An entry that no reader ever sees. */
  lose(): void {
    this.#advance();
  }

  end(): Promise<Position> {
    return Promise.resolve(this.#last);
  }

  close(reader: LogReader): Promise<void> {
    this.#readers.delete(reader);
    return Promise.resolve();
  }

  /** A place that the log has not reached. */
  get cursorAhead(): string {
    return formatCursor(this.epoch, { ms: this.#last.ms + 1_000_000, seq: 0 });
  }

  #advance(): Position {
    const { ms, seq } = this.#last;
    const now = Date.now();
    this.#last = now > ms ? { ms: now, seq: 0 } : { ms, seq: seq + 1 };
    this.cursors.push(formatCursor(this.epoch, this.#last));
    return this.#last;
  }
}

export interface Connection {
  readonly client: Client;
  readonly transport: FakeTransport;
}

export type ConnectOptions = Partial<ClientSettings> & {
  readonly topics?: readonly string[];
  readonly transport?: FakeTransport;
};

/** A hub on a log of its own, or on one that it shares, with a short way to publish and to connect. */
export class TestHub {
  readonly hub: Hub;
  readonly warnings: string[] = [];
  #connected = 0;

  constructor(
    config: SSEConfig = {},
    readonly log = new TestLog(),
  ) {
    const record = (message: string): void => void this.warnings.push(message);
    const resolved = resolveConfig({ heartbeatInterval: 0, retryJitter: 0, ...config, backplane: log });
    this.hub = new Hub(resolved, { log: () => {}, warn: record, error: record });
    void this.hub.start();
  }

  /** Publishes these one after the other, on one topic, or to everybody. */
  publish(topic: string | undefined, ...data: readonly string[]): void {
    for (const text of data) void this.hub.append(event(text, { topic }));
  }

  close(topic: string): void {
    void this.hub.append({ kind: 'close', topic });
  }

  connect({ topics = [], transport = new FakeTransport(), ...settings }: ConnectOptions = {}): Connection {
    const client = this.hub.connect(
      { ...this.#settings(), ...settings },
      { topics, patterns: [] },
      false,
      entranceOf(transport),
    );
    if (!(client instanceof Client)) throw new Error('turned away');
    return { client, transport };
  }

  #settings(): ClientSettings {
    return {
      id: `client-${++this.#connected}`,
      group: undefined,
      metadata: {},
      filter: undefined,
      lastEventId: '',
      since: undefined,
      notBefore: undefined,
      onGap: 'earliest',
      expiresAt: Infinity,
      heartbeatInterval: 0,
      retryInterval: 100,
      controlEvents: true,
      initial: undefined,
    };
  }
}

export function event(data: string, more: Partial<EventEntry> = {}): EventEntry {
  return { kind: 'event', data, text: true, timestamp: '2024-01-01T00:00:00.000Z', ...more };
}
