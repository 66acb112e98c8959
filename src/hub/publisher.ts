import { BackplaneError } from '../backplane/backplane-error.js';
import type { Backplane, Patience } from '../backplane/backplane.js';
import type { ClosedTopics } from '../log/closed-topics.js';
import type { EventLog } from '../log/event-log.js';
import { bytesAtMost, bytesOf } from '../log/publication.js';
import { comparePositions, type Cursor, formatCursor, ORIGIN } from '../protocol/cursor.js';
import type { Entry, EventEntry, RunEntry } from '../protocol/entry.js';
import { type BroadcastOptions, show, type SSEEvent } from '../protocol/event.js';
import { SSEError } from '../sse.error.js';
import { assertTopic, type EntryRules, own, toEntry } from './check-event.js';
import type { EventSchemas } from './event-schemas.js';
import { OwnClosings } from './own-closings.js';
import type { Reporter } from './reporting/reporter.js';
import type { MarkOfRun } from './runs/run-events.js';
import { TopicPattern } from './topics/topic-pattern.js';

/** An event on a topic, or its parts: the two forms of `broadcast` and `publish`. */
export type PublishArguments =
  | readonly [event: SSEEvent, options?: BroadcastOptions]
  | readonly [topic: string, event: string, data: unknown, id?: string, options?: BroadcastOptions];

export interface PublisherContext {
  readonly log: EventLog;
  readonly closedTopics: ClosedTopics;
  readonly backplane: Backplane;
  readonly reporter: Reporter;
  readonly rules: EntryRules & {
    readonly enabled: boolean;
    readonly maxHistoryBytes: number;
    /** `undefined` where nothing is checked. */
    readonly schemas: EventSchemas | undefined;
  };
  readonly shuttingDown: () => boolean;
  /** Begins to read the log, if nobody has. */
  readonly start: () => void;
}

/** Takes what an application publishes: what is wrong with it is thrown here, at once; what is right goes to the log. */
export class Publisher {
  readonly #ownClosings: OwnClosings;

  constructor(private readonly context: PublisherContext) {
    this.#ownClosings = new OwnClosings(context.log);
  }

  /** To be called when something has been read from the log. */
  hasRead(): void {
    this.#ownClosings.forgetRead();
  }

  /** Whether the topic is finished, for those who publish on this node: what it has appended is not always read yet. */
  isClosed(topic: string): boolean {
    const own = this.#ownClosings.latest(topic);
    return own ? own === 'close' : this.context.closedTopics.isClosed(topic);
  }

  /** Publishes on a topic. Nobody waits for the outcome: what fails then is logged and counted. */
  broadcast(args: PublishArguments): void {
    if (this.#isEnabled) this.appendLater(this.#topicEntryOf(args));
  }

  /** The same, to everybody. */
  broadcastAll(event: SSEEvent, options: BroadcastOptions | undefined): void {
    if (this.#isEnabled) this.appendLater(this.#entryOf(event, options));
  }

  /** Publishes on a topic, and settles with the event's cursor once the log has it; with `''` where the hub is switched off. */
  publish(args: PublishArguments): Promise<string> {
    if (!this.#isEnabled) return Promise.resolve('');
    try {
      return this.append(this.#topicEntryOf(args), 'timeout').then(textOf, failed);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Finishes a topic, or starts it over. Whether that changes anything is for the log to say: another node may act, too. */
  mark(kind: 'close' | 'open', topic: string): void {
    assertTopic(topic);
    this.appendLater({ kind, topic: own(topic) });
  }

  /** Nobody waits for the outcome. */
  appendLater(entry: Entry): void {
    if (!this.#isEnabled) return;
    this.append(entry, 'queue').catch((error: unknown) => this.context.reporter.publishFailed(entry, error));
  }

  /** Settles with the entry's place once the log has it. Throws `SHUTTING_DOWN`. */
  append(entry: Entry, patience: Patience): Promise<Cursor> {
    this.open();
    return this.#append(entry, patience);
  }

  /** Begins to read the log, if nobody has. Throws `SHUTTING_DOWN`. */
  open(): void {
    const { shuttingDown, start } = this.context;
    if (shuttingDown()) throw new SSEError('SHUTTING_DOWN', 'The hub is shutting down and takes no more events.');
    start();
  }

  /** The event of a run, as it is kept. What is said last, schemas need not know. Throws what is wrong with it. */
  entryForRun(event: SSEEvent & { readonly topic: string }, mark: MarkOfRun): EventEntry {
    const entry = this.#entryOf(event, undefined);
    if (!mark.ends) this.#assertSchema(event.topic, entry);
    return { ...entry, ...mark };
  }

  /** What a run has to say, which may go on for a while when the hub shuts down. */
  appendForRun(entry: Entry): Promise<unknown> {
    return this.#isEnabled ? this.#append(entry, 'queue') : Promise.resolve();
  }

  /** That a run begins: whoever asks for it waits for the outcome. Rejects with `BACKPLANE_UNAVAILABLE`, `SHUTTING_DOWN`. */
  claim(entry: RunEntry): Promise<unknown> {
    return this.append(entry, 'timeout').catch(failed);
  }

  #append(entry: Entry, patience: Patience): Promise<Cursor> {
    const { backplane } = this.context;
    try {
      const appended = backplane.append(this.#withPast(entry), patience);
      if (entry.kind === 'close' || entry.kind === 'open') this.#ownClosings.note(entry, appended);
      return appended;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  get #isEnabled(): boolean {
    return this.context.rules.enabled;
  }

  /** An event says up to where its publisher may have forgotten what closed its topic. */
  #withPast(entry: Entry): Entry {
    const { forgotten } = this.context.closedTopics;
    // One of a run comes behind its beginning, with which the topic was opened.
    if (comparePositions(forgotten, ORIGIN) === 0 || entry.kind !== 'event' || entry.run !== undefined) return entry;
    return entry.topic === undefined || this.isClosed(entry.topic) ? entry : { ...entry, opens: forgotten };
  }

  #topicEntryOf(args: PublishArguments): EventEntry {
    const [event, options] = eventAndOptions(args);
    const entry = this.#entryOf(event, options);
    const { topic } = entry;
    // It must never become an event for everybody.
    if (topic === undefined) {
      throw new SSEError('INVALID_TOPIC', 'topic: there is none. broadcastAll() is for everybody.');
    }
    // Before it is known whether the topic is open, because schemas may run code of the application's.
    this.#assertSchema(topic, entry);
    if (!this.isClosed(topic)) return entry;
    throw new SSEError('TOPIC_CLOSED', `The topic ${show(topic)} is closed. openTopic() starts it over.`);
  }

  #assertSchema(topic: string, entry: EventEntry): void {
    const { rules, reporter } = this.context;
    rules.schemas?.assert(topic, entry, (error) => reporter.schemaFailed(entry, error));
  }

  #entryOf(event: SSEEvent, options: BroadcastOptions | undefined): EventEntry {
    const { rules } = this.context;
    const entry = toEntry(event, rules, options);
    if (bytesAtMost(entry) <= rules.maxHistoryBytes) return entry;
    const bytes = bytesOf(entry);
    if (bytes <= rules.maxHistoryBytes) return entry;
    throw new SSEError(
      'EVENT_TOO_LARGE',
      `The event takes ${bytes} bytes in the log, which may have ${rules.maxHistoryBytes} (maxHistoryBytes): it would ` +
        'drive out everything else. Send a reference, and let clients fetch the rest.',
    );
  }
}

function textOf({ epoch, position }: Cursor): string {
  return formatCursor(epoch, position);
}

/** Where the broker is, and what it says, is not for the visitor whose request this was. */
function failed(error: unknown): never {
  throw error instanceof BackplaneError
    ? new SSEError('BACKPLANE_UNAVAILABLE', 'The log has not confirmed the event.', { cause: error })
    : error;
}

function eventAndOptions(args: PublishArguments): [SSEEvent, BroadcastOptions | undefined] {
  const [first] = args;
  if (typeof first === 'object' && first !== null && !((first as unknown) instanceof TopicPattern)) {
    const [event, options] = args as [SSEEvent, BroadcastOptions?];
    return [event, options];
  }
  const [topic, event, data, id, options] = args as [string, string, unknown, string?, BroadcastOptions?];
  if (typeof id === 'object') {
    throw new SSEError(
      'INVALID_EVENT',
      'id: it is an object. Options come fifth: (topic, event, data, undefined, options).',
    );
  }
  return [{ topic, event, data, id }, options];
}
