import { setImmediate } from 'node:timers/promises';

import { jest } from '@jest/globals';

import type { Backplane, LogEntry, LogListener } from '../../src/backplane/backplane.js';
import type { ClientSettings } from '../../src/hub/clients/client-settings.js';
import type { Client } from '../../src/hub/clients/client.js';
import { Hub } from '../../src/hub/hub.js';
import { topicPattern } from '../../src/hub/topics/topic-pattern.js';
import { type Cursor, formatCursor, ORIGIN, type Position } from '../../src/protocol/cursor.js';
import type { Entry, EventEntry } from '../../src/protocol/entry.js';
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
  epoch = 'e1';
  /** Where each entry is. */
  readonly cursors: string[] = [];
  /** Told of every entry before anybody reads it, and of those that nobody will. */
  onAppend: (position: Position, entry: Entry | undefined) => void = () => {};
  readonly #readers = new Set<LogListener>();
  readonly #unread: LogEntry[] = [];
  #entries: LogEntry[] = [];
  #last: Position = ORIGIN;

  start(reader: LogListener): Promise<void> {
    if (this.#readers.has(reader)) return Promise.resolve();
    this.#readers.add(reader);
    reader.begin(this.epoch, this.#last);
    reader.ready();
    return Promise.resolve();
  }

  append(entry: Entry): Promise<Cursor> {
    const previous = this.#last;
    const position = this.#advance(entry);
    const logEntry = { epoch: this.epoch, position, previous, entry };
    this.#entries.push(logEntry);
    this.#unread.push(logEntry);
    // One that is appended while another is read comes after it, for all readers.
    if (this.#unread.length > 1) return Promise.resolve({ epoch: this.epoch, position });
    for (const next of this.#unread) for (const reader of this.#readers) reader.deliver([next]);
    this.#unread.length = 0;
    return Promise.resolve({ epoch: this.epoch, position });
  }

  /** An entry that no reader ever sees. */
  lose(): void {
    this.#advance(undefined);
  }

  /** An older backup was restored: another life begins, with so many of the entries there were. To be followed by `ready`. */
  restore(kept: number): void {
    this.epoch += '0';
    const { epoch } = this;
    this.#entries = this.#entries.slice(0, kept).map((entry) => ({ ...entry, epoch }));
    this.#last = this.#entries.at(-1)?.position ?? ORIGIN;
    for (const reader of this.#readers) {
      reader.begin(epoch, ORIGIN);
      reader.deliver(this.#entries);
    }
  }

  /** All of that has been read. */
  ready(): void {
    for (const reader of this.#readers) reader.ready();
  }

  end(): Promise<Position> {
    return Promise.resolve(this.#last);
  }

  close(reader: LogListener): Promise<void> {
    this.#readers.delete(reader);
    return Promise.resolve();
  }

  /** A place that the log has not reached. */
  get cursorAhead(): string {
    return formatCursor(this.epoch, { ms: this.#last.ms + 1_000_000, seq: 0 });
  }

  #advance(entry: Entry | undefined): Position {
    const { ms, seq } = this.#last;
    const now = Date.now();
    this.#last = now > ms ? { ms: now, seq: 0 } : { ms, seq: seq + 1 };
    this.cursors.push(formatCursor(this.epoch, this.#last));
    this.onAppend(this.#last, entry);
    return this.#last;
  }
}

export interface Connection {
  readonly client: Client;
  readonly transport: FakeTransport;
}

export type ConnectOptions = Partial<ClientSettings> & {
  readonly topics?: readonly string[];
  readonly patterns?: readonly string[];
  readonly transport?: FakeTransport;
};

/** A hub on a log of its own, or on one that it shares, with a short way to publish and to connect. */
export class TestHub {
  readonly hub: Hub;
  readonly warnings: string[] = [];
  /** Told of everything that is logged as a warning or an error. */
  onWarning = (message: string): void => void this.warnings.push(message);
  #connected = 0;
  /** Whoever has been let in, by id: perhaps it has left already. */
  readonly #entered = new Map<string, Client>();

  constructor(
    config: SSEConfig = {},
    readonly log = new TestLog(),
    /** How this node sees the log. */
    backplane: Backplane = log,
  ) {
    const record = (message: string): void => this.onWarning(message);
    const resolved = resolveConfig({ heartbeatInterval: 0, retryJitter: 0, ...config, backplane });
    this.hub = new Hub(resolved, { log: () => {}, warn: record, error: record });
    const { clients } = this.hub;
    const add = clients.add.bind(clients);
    clients.add = (client) => {
      this.#entered.set(client.id, client);
      add(client);
    };
    void this.hub.start();
  }

  /** Publishes these one after the other, on one topic, or to everybody. */
  publish(topic: string | undefined, ...data: readonly string[]): void {
    for (const text of data) void this.hub.publisher.append(event(text, { topic }), 'queue');
  }

  /** What the timer does for those whose interval is over; it does not know of a clock that is moved by hand. */
  endWaits(now = performance.now()): number {
    const waits = (this.hub.turn.pace?.waits ?? []).filter(({ until }) => until <= now);
    for (const wait of waits) wait.tick();
    return waits.length;
  }

  close(topic: string): void {
    void this.hub.publisher.append({ kind: 'close', topic }, 'queue');
  }

  remove(clientId: string, reconnect: boolean): void {
    this.hub.clients.get(clientId)?.end(reconnect ? 'sentBack' : 'removed');
  }

  connect({
    topics = [],
    patterns = [],
    transport = new FakeTransport(),
    ...settings
  }: ConnectOptions = {}): Connection {
    const resolved = { ...this.#settings(), ...settings };
    this.hub.connect(resolved, { topics, patterns: patterns.map(topicPattern) }, false, entranceOf(transport));
    const client = this.#entered.get(resolved.id);
    this.#entered.delete(resolved.id);
    if (!client) throw new Error('turned away');
    return { client, transport };
  }

  /** The same, and waits until the client has what it starts with. */
  async open(options?: ConnectOptions): Promise<Connection> {
    const connection = this.connect(options);
    await turn();
    return connection;
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
      from: undefined,
      merge: undefined,
      onGap: 'earliest',
      expiresAt: Infinity,
      heartbeatInterval: 0,
      retryInterval: 100,
      controlEvents: true,
      plannedEnd: 'end',
      initial: undefined,
    };
  }
}

export function event(data: string, more: Partial<EventEntry> = {}): EventEntry {
  return { kind: 'event', data, text: true, timestamp: '2024-01-01T00:00:00.000Z', ...more };
}
