import { setImmediate as turn } from 'node:timers/promises';

import { TopicPattern, topicPattern } from '../../../src/hub/topics/topic-pattern.js';
import type { Position } from '../../../src/protocol/cursor.js';
import type { Block } from '../../../src/protocol/encode.js';
import type { Entry } from '../../../src/protocol/entry.js';
import { SSEError } from '../../../src/sse.error.js';
import { event, type StandingClock, TestLog } from '../test-hub.js';
import { Arrival } from './arrival.js';
import { Facts, numberIn } from './facts.js';
import type { Ledger } from './ledger.js';
import { type Limits, type Manner, NAMES, type Operation, TOPICS } from './operations.js';
import { type Connection, Node, Person } from './people.js';
import { passes, type Sieve } from './terms.js';

const PEOPLE = 4;
const PADDING = ' '.repeat(12_000);

/** Two nodes on one log, some people, and somebody who knows what everybody must get. */
export class World {
  readonly faults: string[] = [];
  /** What was done, and what was written to whom. */
  readonly story: string[] = [];
  readonly figures = { published: 0, received: 0, connections: 0, resets: 0 };
  readonly #log = new TestLog();
  readonly #facts = new Facts(this.#log.epoch);
  readonly #nodes: Node[];
  readonly #people = Array.from({ length: PEOPLE }, (_, i) => new Person(i));
  readonly #later: Operation[] = [];
  #gates: (() => void)[] = [];
  #count = 0;
  #depth = 0;
  #isAwaited = false;
  #hasLost = false;
  #isUnlimited: boolean;

  constructor(
    private readonly limits: readonly [Limits, Limits],
    private readonly clock: StandingClock,
  ) {
    this.#log.onAppend = (position, entry) => this.#record(position, entry);
    this.#nodes = [this.#startNode(0), this.#startNode(1)];
    this.#isUnlimited = limits.every(({ maxHistorySize, maxHistoryAge, maxHistoryBytes, history }) => {
      const isShort = history.length > 0;
      return !isShort && maxHistorySize === Infinity && maxHistoryAge === Infinity && maxHistoryBytes === 2 ** 30;
    });
  }

  async run(operations: readonly Operation[]): Promise<void> {
    // A log without entries cannot tell what is beyond its end from what was before its beginning.
    this.#append(event(`${++this.#count}`, { topic: 'first' }));
    for (const operation of operations) {
      this.#perform(operation);
      if (operation.do === 'restart') await this.#restart();
      if (NEEDS_A_TURN.has(operation.do) || this.#isAwaited) await turn();
      this.#isAwaited = false;
      this.#collect();
      if (this.faults.length > 0) return;
    }
    await this.#settle();
    // Everybody has to be able to come back from wherever they are, and what they are told then is not told again.
    // First, what was kept for those who left is let go of, which is new to those who come then.
    for (const name of [4, 2]) {
      await this.#comeBack(name);
      await this.#comeBack(name);
      const told = this.figures.resets;
      await this.#comeBack(name);
      if (this.figures.resets > told) this.faults.push('is told again what it was told already');
    }
    await this.#comeBack(5);
    await this.#settle();
  }

  /** Everybody is cut off, comes back to follow this, and gets everything. */
  async #comeBack(name: number): Promise<void> {
    for (const person of this.#people) this.#cut(person, Infinity);
    for (const person of this.#people) this.#connect(person, { ...COME_BACK, names: [name] });
    await this.#readAll();
  }

  /** Everybody leaves, and nothing of them stays. */
  async end(): Promise<void> {
    for (const person of this.#people) this.#cut(person, 0);
    await turn();
    for (const { test } of this.#nodes) {
      const { clients, topics, turn } = test.hub;
      const left = { clients: clients.size, topics: topics.size, behind: turn.behind.size };
      if (left.clients + left.topics + left.behind > 0) this.faults.push(`left behind: ${JSON.stringify(left)}`);
      if (test.warnings.length > 0) this.faults.push(...test.warnings);
      await test.hub.shutdown();
    }
  }

  #perform(operation: Operation): void {
    this.story.push(JSON.stringify(operation));
    switch (operation.do) {
      case 'publish':
        return this.#publish(operation);
      case 'turn':
        return;
      case 'advance':
        return this.#advance(operation.ms);
      case 'connect':
        return this.#connect(this.#person(operation.who), operation.how);
      case 'read':
        return this.#read(this.#person(operation.who), operation.count);
      case 'cut':
        return this.#cut(this.#person(operation.who), operation.count);
      case 'subscribe':
        return this.#subscribe(this.#person(operation.who), NAMES[operation.name]!, operation.sieve || undefined);
      case 'unsubscribe':
        return this.#unsubscribe(this.#person(operation.who), NAMES[operation.name]!);
      case 'close':
      case 'open':
        return this.#mark(operation.do, TOPICS[operation.topic]);
      case 'send':
        return this.#send(this.#person(operation.who), operation.id);
      case 'remove':
        return this.#remove(this.#person(operation.who), operation.reconnect);
      case 'removeGroup':
        return this.#append({ kind: 'removeGroup', group: `group-${operation.group}`, reconnect: true });
      case 'hold':
        return this.#nodes[1]!.view.hold();
      case 'release':
        return this.#nodes[1]!.view.release();
      case 'lose':
        this.#hasLost = true;
        return this.#log.lose();
      case 'restart':
        return;
      case 'later':
        this.#later.push(operation.what);
    }
  }

  /** What the application does when it sees an event. */
  readonly #seen = (): void => {
    const operation = this.#later.shift();
    if (!operation) return;
    this.#depth++;
    this.#perform(operation);
    this.#depth--;
  };

  #record(position: Position, entry: Parameters<TestLog['onAppend']>[1]): void {
    const fact = this.#facts.record(position, entry);
    if (fact.kind === 'event') this.figures.published++;
    for (const { connection } of this.#people) connection?.ledger.publish(fact);
  }

  #append(entry: Entry): void {
    void this.#nodes[0]!.hub.publisher.append(entry, 'queue');
  }

  #publish({ topic, count, except, exceptGroup, id, large }: Operation & { do: 'publish' }): void {
    for (let i = 0; i < count; i++) {
      const n = ++this.#count;
      this.#append(
        event(large ? `${n}${PADDING}` : `${n}`, {
          topic: TOPICS[topic],
          ...(except >= 0 && { except: [this.#person(except).id] }),
          ...(exceptGroup >= 0 && { exceptGroup: `group-${exceptGroup}` }),
          ...(id && { id: this.#isUnlimited && !this.#hasLost && n % 4 === 0 ? 'same' : `id-${n}` }),
        }),
      );
    }
  }

  #mark(kind: 'close' | 'open', topic: string | undefined): void {
    if (topic === undefined || this.#facts.isClosed(topic) !== (kind === 'open')) return;
    this.#append({ kind, topic });
  }

  #advance(ms: number): void {
    this.clock.advance(ms);
    for (const open of this.#gates.splice(0)) open();
    for (const { hub, test } of this.#nodes) {
      for (const client of hub.clients.list()) client.timer.tick(performance.now());
      hub.turn.prune();
      test.endWaits();
    }
  }

  /** Whoever waits has waited long enough. Answers whether somebody did. */
  #endWaits(): boolean {
    return this.#nodes.map(({ test }) => test.endWaits(Infinity)).some((count) => count > 0);
  }

  #connect(person: Person, how: Manner): void {
    if (person.connection) return;
    const node = this.#nodes[how.node]!;
    // `since` is about what is retained when the turn is over.
    const arrival = new Arrival(person, node, this.#depth > 0 ? { ...how, since: 0 } : how, this.#facts);
    const { ledger } = arrival;
    const transport = arrival.transport((block) => this.#write(person.id, ledger, block));
    person.connection = { node, transport, ledger, mayLag: arrival.mayLag };
    this.figures.connections++;
    node.test.connect({
      ...arrival.options,
      transport,
      filter: this.#filter(arrival.sieve),
      initial: arrival.hasInitial ? () => this.#initial(ledger) : undefined,
    });
    this.#isAwaited ||= arrival.options.since !== undefined;
  }

  #write(id: string, ledger: Ledger, block: Block): void {
    this.story.push(`  ${id} ← ${block.event ?? ''} ${block.data?.slice(0, 80).trimEnd() ?? ''} ${block.id ?? ''}`);
    ledger.write(block);
    for (const fault of ledger.faults.splice(0)) {
      this.story.push(`    ${fault}`);
      this.faults.push(fault);
    }
  }

  #filter(sieve: Sieve): ((seen: { readonly data: unknown }) => boolean) | undefined {
    if (sieve === undefined) return undefined;
    return ({ data }) => {
      this.#seen();
      return passes(sieve, numberIn(data as string));
    };
  }

  async #initial(ledger: Ledger) {
    await new Promise<void>((resolve) => this.#gates.push(resolve));
    const text = `private initial ${++this.#count}`;
    ledger.sendFirst(text);
    return [event(text)];
  }

  #read(person: Person, count: number): void {
    const { connection } = person;
    if (!connection) return;
    const blocks = connection.transport.take(count);
    this.figures.received += blocks.length;
    person.receive(blocks, connection.transport.inFlight[0]);
  }

  #cut(person: Person, count: number): void {
    const { connection } = person;
    if (!connection) return;
    this.#read(person, count);
    connection.transport.cut();
    this.#forget(person);
  }

  #forget(person: Person): void {
    const { ledger } = person.connection!;
    ledger.ended = true;
    person.connection = undefined;
  }

  #subscribe(person: Person, name: string, sieve: Sieve): void {
    const { connection } = person;
    // The first name of a client without any counts from its cursor for a turn: one that comes within would, too.
    if (!connection || (this.#depth > 0 && !connection.ledger.underWay)) return;
    this.#isAwaited ||= !connection.ledger.underWay;
    connection.ledger.follow(name, sieve, this.#depth > 0);
    connection.node.hub.clients.subscribe(person.id, nameOf(name), this.#filter(sieve));
  }

  #unsubscribe(person: Person, name: string): void {
    const { connection } = person;
    if (!connection) return;
    connection.ledger.unfollow(name, this.#depth > 0);
    connection.node.hub.clients.unsubscribe(person.id, nameOf(name));
  }

  #send(person: Person, id: boolean): void {
    const { connection } = person;
    const client = connection?.node.hub.clients.get(person.id);
    if (!connection || !client) return;
    const text = `private ${++this.#count}`;
    connection.ledger.sendPrivate(text);
    try {
      client.sendEvent(event(text, id ? { id: `mine-${this.#count}` } : {}));
      connection.ledger.sentPrivate();
    } catch (error) {
      if (!(error instanceof SSEError)) throw error;
      connection.ledger.takeBackPrivate(text);
    }
  }

  #remove(person: Person, reconnect: boolean): void {
    const { connection } = person;
    if (!connection) return;
    connection.ledger.mayEnd = true;
    connection.node.test.remove(person.id, reconnect);
  }

  /** Node 1 is shut down, and another one takes its place. */
  async #restart(): Promise<void> {
    const [, old] = this.#nodes;
    old!.view.release();
    await old!.hub.shutdown();
    this.faults.push(...old!.test.warnings);
    this.#isUnlimited = false;
    // This log retains nothing for who starts later: that one could not know what is closed.
    for (const topic of TOPICS) this.#mark('open', topic);
    this.#nodes[1] = this.#startNode(1);
  }

  #startNode(which: 0 | 1): Node {
    return new Node(this.limits[which], this.#log, this.#facts, this.#seen);
  }

  /** Whoever was cut off by the server reads what is left. */
  #collect(): void {
    for (const person of this.#people) {
      if (!person.connection?.transport.ended) continue;
      this.#read(person, Infinity);
      this.#forget(person);
    }
  }

  /** Nothing is held back any more. */
  async #settle(): Promise<void> {
    this.#nodes[1]!.view.release();
    // Only the next entry shows that the one before it was never read.
    this.#append(event(`${++this.#count}`, { topic: 'last' }));
    await this.#readAll();
  }

  /** Everything is read, until nothing more comes; then everybody must have everything. */
  async #readAll(): Promise<void> {
    for (let idle = 0; idle < 3; idle++) {
      for (const open of this.#gates.splice(0)) open();
      if (this.#endWaits()) idle = -1;
      await turn();
      for (const person of this.#people) {
        if (person.connection?.transport.inFlight.length) idle = -1;
        this.#read(person, Infinity);
      }
      this.#collect();
    }
    for (const { id, connection } of this.#people) {
      if (!connection) continue;
      for (const fault of this.#faultsAtRest(connection)) this.faults.push(`${id}: ${fault}`);
    }
  }

  *#faultsAtRest({ ledger, node, mayLag }: Connection): Generator<string> {
    if (!ledger.opened) yield 'was never opened';
    const names = [...ledger.names.keys()];
    const isFinished =
      names.length > 0 && names.every((name) => this.#facts.wasClosed(name, node.read()) && node.retainsEndOf(name));
    if (isFinished) yield 'should have ended, all of its topics are closed';
    for (const outstanding of ledger.outstanding) yield `never came: ${outstanding}`;
    this.figures.resets += ledger.resets;
    const mayKeepUp = this.#isUnlimited || (!mayLag && node.limits.maxHistoryBytes === 2 ** 30);
    if (mayKeepUp && !this.#hasLost && ledger.slowResets > 0) yield 'was told that it was slow';
  }

  #person(who: number): Person {
    return this.#people[who % PEOPLE]!;
  }
}

/** These are looked at only when their turn has ended. */
const NEEDS_A_TURN: ReadonlySet<string> = new Set(['turn', 'advance', 'restart']);

const COME_BACK: Manner = {
  node: 1,
  names: [],
  id: 'own',
  atOnce: false,
  capacity: Infinity,
  sieve: 0,
  latest: false,
  since: 0,
  notBefore: 0,
  expiresIn: 0,
  initial: false,
};

function nameOf(name: string): string | TopicPattern {
  return name.includes('*') ? topicPattern(name) : name;
}
