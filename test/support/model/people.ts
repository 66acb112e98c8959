import { TestNode } from 'nestjs-sse-hub/testing';

import { topicPattern } from '../../../src/hub/topics/topic-pattern.js';
import { type Cursor, parseCursor, TERMINAL_CURSOR } from '../../../src/protocol/cursor.js';
import type { Block } from '../../../src/protocol/encode.js';
import type { FakeTransport } from '../fake-transport.js';
import { TestHub, type TestLog } from '../test-hub.js';
import type { Fact, Facts } from './facts.js';
import type { Ledger } from './ledger.js';
import type { Limits } from './operations.js';

/** Somebody's open stream. */
export interface Connection {
  readonly node: Node;
  readonly transport: FakeTransport;
  readonly ledger: Ledger;
  readonly mayLag: boolean;
}

/** Somebody who connects again and again, with what was received last. */
export class Person {
  readonly id: string;
  /** Some have none: of those who have one, everybody comes back behind entries that were never read. */
  readonly group: string | undefined;
  connection: Connection | undefined;
  lastEventId = '';
  /** What it has really got, whatever its last event ID says. */
  cursor: Cursor | undefined;

  constructor(i: number) {
    this.id = `client-${i}`;
    this.group = i < 2 ? `group-${i}` : undefined;
  }

  receive(blocks: readonly Block[], next: Block | undefined): void {
    for (const [i, { id }] of blocks.entries()) {
      if (id === undefined) continue;
      this.lastEventId = id;
      // Behind an id of the application's comes the cursor, and a cut may be between them.
      this.cursor = parseCursor(id) ?? parseCursor((blocks[i + 1] ?? next)?.id ?? '');
    }
    if (this.lastEventId === TERMINAL_CURSOR) this.forget();
  }

  forget(): void {
    this.lastEventId = '';
    this.cursor = undefined;
  }
}

/** A hub that may read late. */
export class Node {
  readonly test: TestHub;
  readonly view: TestNode;

  constructor(
    readonly limits: Limits,
    log: TestLog,
    private readonly facts: Facts,
    onSeen: () => void,
  ) {
    this.view = new TestNode(log);
    this.test = new TestHub({ ...limits, drainTimeout: 1 }, log, this.view);
    this.test.hub.observe(() => ({ topics: [], patterns: [topicPattern('**')] })).subscribe(onSeen);
  }

  get hub() {
    return this.test.hub;
  }

  /** Its log still has what closed the topic: after that it need not be known. */
  retainsEndOf(topic: string): boolean {
    const { log } = this.hub;
    const last = log.itemAt(log.historyOf(topic)?.newest ?? -1);
    return last !== undefined && 'kind' in last && last.kind === 'close';
  }

  readonly read = (): number => this.facts.countUpTo(this.hub.log.last);

  readonly retains = ({ position }: Fact): boolean => {
    const located = this.hub.log.locate(position);
    return located.at === 'window' && this.hub.log.itemAt(located.index - 1) !== undefined;
  };
}
