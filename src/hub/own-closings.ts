import type { EventLog } from '../log/event-log.js';
import { comparePositions, type Cursor } from '../protocol/cursor.js';
import type { TopicEntry } from '../protocol/entry.js';

interface OwnClosing {
  readonly entry: TopicEntry;
  /** Its place, once the log has it. */
  cursor?: Cursor;
}

/**
 * Which topics this node has closed or opened, as long as it has not read that back. What it publishes next comes behind
 * it in the log, so for this node's publishers it counts from the call on.
 */
export class OwnClosings {
  /** By topic, oldest first. */
  readonly #marks = new Map<string, OwnClosing[]>();
  /** Those that have their place, in the order of the log. */
  readonly #unread = new Set<OwnClosing>();

  constructor(private readonly log: EventLog) {}

  /** Topics that are waited for. */
  get size(): number {
    return this.#marks.size;
  }

  /** What this node will have read last of the topic; `undefined` when it has read all that it has appended. */
  latest(topic: string): TopicEntry['kind'] | undefined {
    return this.#marks.get(topic)?.findLast((mark) => this.#isAhead(mark))?.entry.kind;
  }

  /** One is on its way. When it does not get there, it never was. */
  note(entry: TopicEntry, appended: Promise<Cursor>): void {
    const mark: OwnClosing = { entry };
    const marks = this.#marks.get(entry.topic);
    if (marks) marks.push(mark);
    else this.#marks.set(entry.topic, [mark]);
    appended.then(
      (cursor) => {
        mark.cursor = cursor;
        this.#unread.add(mark);
        this.forgetRead();
      },
      () => this.#forget(mark),
    );
  }

  /** To be called when something has been read. */
  forgetRead(): void {
    for (const mark of this.#unread) {
      if (this.#isAhead(mark)) return;
      this.#unread.delete(mark);
      this.#forget(mark);
    }
  }

  #isAhead({ cursor }: OwnClosing): boolean {
    const { epoch, last } = this.log;
    if (!cursor || epoch === '') return true;
    return cursor.epoch === epoch && comparePositions(cursor.position, last) > 0;
  }

  #forget(mark: OwnClosing): void {
    const { topic } = mark.entry;
    const marks = this.#marks.get(topic)!;
    marks.splice(marks.indexOf(mark), 1);
    if (marks.length === 0) this.#marks.delete(topic);
  }
}
