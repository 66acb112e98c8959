import { randomUUID } from 'node:crypto';

import { BackOff } from '../broker/back-off.js';
import type { SharedConnection } from '../broker/shared-connection.js';
import { withTimeout } from '../broker/with-timeout.js';
import {
  ANNOUNCEMENT_INTERVAL,
  type Audience,
  type Audiences,
  countIn,
  type GroupPresence,
  groupsIn,
  LEASE,
  LEASE_RENEWAL,
  mergeGroups,
  type Presence,
} from '../presence.js';
import type { Connection } from './connection.js';
import type { Keys } from './keys.js';
import { COMMAND_TIMEOUT } from './log.js';
import { Questions } from './questions.js';

/** Milliseconds that leaving may take. What is not done by then, the end of the leases does. */
const LEAVE_PATIENCE = 1_000;

/** A field that stands among the patterns of every node that is alive. No pattern is empty. */
const SIGN_OF_LIFE = '';

/** Counts the clients of all nodes from what each has announced: two hashes, which expire with it, and a set of all nodes. */
export class RedisPresence implements Presence {
  readonly #announcers = new Map<Audience, Announcer>();
  readonly #questions: Questions;
  /** The last question that was answered: each hub of this process reads it. */
  #answered = '';

  constructor(
    private readonly keys: Keys,
    private readonly connection: SharedConnection<Connection>,
  ) {
    this.#questions = new Questions(keys);
  }

  join(audience: Audience): void {
    if (this.#announcers.has(audience)) return;
    this.#announcers.set(audience, new Announcer(audience, this.keys, this.connection));
  }

  async leave(audience: Audience): Promise<void> {
    const announcer = this.#announcers.get(audience);
    this.#announcers.delete(audience);
    await announcer?.leave();
  }

  async count(topic: string): Promise<number> {
    const connection = await this.connection.open();
    const here = countIn(this.#announcers.keys(), topic);
    return here + (await this.#countOn(await this.#others(connection), topic, connection));
  }

  async groups(topic: string): Promise<GroupPresence[]> {
    const connection = await this.connection.open();
    const nodes = await this.#alive(await this.#others(connection), connection);
    const answers = nodes.length > 0 ? await this.#questions.ask(topic, nodes, connection) : [];
    return mergeGroups([
      groupsIn(this.#announcers.keys(), topic),
      ...answers.map((text) => JSON.parse(text) as GroupPresence[]),
    ]);
  }

  /** Answers what was read of the questions; as far as Redis is there, for else nobody waits for it. */
  answer(id: string, fields: readonly string[]): void {
    const question = this.#questions.read(fields);
    if (!question || id === this.#answered) return;
    this.#answered = id;
    for (const [audience, { node }] of this.#announcers) {
      const groups = JSON.stringify(audience.groups(question.topic));
      void this.connection
        .open()
        .then((connection) => this.#questions.answer(question, node, groups, connection))
        .catch(() => {});
    }
  }

  async #others(connection: Connection): Promise<string[]> {
    const own = new Set([...this.#announcers.values()].map(({ node }) => node));
    const nodes = await withTimeout(connection.smembers(this.keys.nodes), COMMAND_TIMEOUT, 'Redis');
    return nodes.filter((node) => !own.has(node));
  }

  async #alive(nodes: readonly string[], connection: Connection): Promise<string[]> {
    if (nodes.length === 0) return [];
    const pipeline = connection.pipeline();
    for (const node of nodes) pipeline.exists(this.keys.patternsOf(node));
    const answers = (await withTimeout(pipeline.exec(), COMMAND_TIMEOUT, 'Redis')) ?? [];
    for (const [error] of answers) if (error) throw error;
    return nodes.filter((_, i) => answers[i]?.[1] === 1);
  }

  async #countOn(nodes: readonly string[], topic: string, connection: Connection): Promise<number> {
    const pipeline = connection.pipeline();
    for (const node of nodes) pipeline.hget(this.keys.topicsOf(node), topic).hgetall(this.keys.patternsOf(node));
    const answers = nodes.length > 0 ? ((await withTimeout(pipeline.exec(), COMMAND_TIMEOUT, 'Redis')) ?? []) : [];
    let count = 0;
    for (const [i, node] of nodes.entries()) {
      const [byTopic, byPatterns] = [answers[2 * i], answers[2 * i + 1]];
      if (!byTopic || !byPatterns) throw new Error('Redis did not answer');
      const error = byTopic[0] ?? byPatterns[0];
      if (error) throw error;
      const patterns = byPatterns[1] as Record<string, string>;
      // Nobody else can tell that it is dead: it took what it had with it, but not its name.
      if (patterns[SIGN_OF_LIFE] === undefined) void connection.srem(this.keys.nodes, node).catch(() => {});
      else count += Number(byTopic[1] ?? 0) + this.#countMatches(patterns, topic);
    }
    return count;
  }

  #countMatches(byPatterns: Record<string, string>, topic: string): number {
    const [audience] = this.#announcers.keys();
    let count = 0;
    for (const [patterns, clients] of Object.entries(byPatterns)) {
      if (patterns !== SIGN_OF_LIFE && audience?.matches(patterns, topic)) count += Number(clients);
    }
    return count;
  }
}

/** Tells Redis what the clients of one hub follow, and that it is alive. */
class Announcer {
  readonly node: string = randomUUID();
  readonly #timer: NodeJS.Timeout;
  #renewedAt = -Infinity;
  /** Redis has everything but what has changed since. */
  #isKnown = false;
  readonly #backOff = new BackOff();
  #running: Promise<void> | undefined;

  constructor(
    private readonly audience: Audience,
    private readonly keys: Keys,
    private readonly connection: SharedConnection<Connection>,
  ) {
    this.#timer = setInterval(() => this.#announce(), ANNOUNCEMENT_INTERVAL).unref();
  }

  async leave(): Promise<void> {
    clearInterval(this.#timer);
    this.#backOff.wake();
    await withTimeout(this.#leave(), LEAVE_PATIENCE, 'Redis').catch(() => {});
  }

  async #leave(): Promise<void> {
    await this.#running;
    const { node, keys } = this;
    if (!this.#isKnown) return;
    const connection = await this.connection.open();
    await connection.pipeline().del(keys.topicsOf(node), keys.patternsOf(node)).srem(keys.nodes, node).exec();
  }

  #announce(): void {
    this.#running ??= this.#tryToAnnounce()
      .then(
        () => this.#backOff.reset(),
        () => this.#fail(),
      )
      .then(() => (this.#running = undefined));
  }

  /** Redis may have got it or not, so everything is announced again. That Redis is away, the reader says. */
  #fail(): Promise<void> {
    this.#isKnown = false;
    return this.#backOff.wait();
  }

  async #tryToAnnounce(): Promise<void> {
    const connection = await this.connection.open();
    const changes = this.audience.changes(!this.#isKnown);
    const isRenewed = performance.now() - this.#renewedAt < LEASE_RENEWAL;
    if (this.#isKnown && isRenewed && changes.topics.size === 0 && changes.patterns.size === 0) return;
    const hadLease = await this.#write(connection, changes);
    // Flushed, or this process was busy for longer than its lease.
    this.#isKnown = hadLease || !this.#isKnown;
    this.#renewedAt = this.#isKnown ? performance.now() : -Infinity;
  }

  /** Answers whether Redis still had what was announced before. */
  async #write(connection: Connection, { topics, patterns }: Audiences): Promise<boolean> {
    const { node, keys } = this;
    const [topicsKey, patternsKey] = [keys.topicsOf(node), keys.patternsOf(node)];
    const pipeline = connection.pipeline();
    pipeline.exists(patternsKey);
    if (!this.#isKnown) pipeline.del(topicsKey, patternsKey);
    for (const [key, changed] of [
      [topicsKey, topics],
      [patternsKey, patterns],
    ] as const) {
      for (const [name, clients] of changed) {
        if (clients > 0) pipeline.hset(key, name, clients);
        else pipeline.hdel(key, name);
      }
    }
    pipeline.hset(patternsKey, SIGN_OF_LIFE, 1).pexpire(topicsKey, LEASE).pexpire(patternsKey, LEASE);
    pipeline.sadd(keys.nodes, node);
    const answers = (await withTimeout(pipeline.exec(), COMMAND_TIMEOUT, 'Redis')) ?? [];
    for (const [error] of answers) if (error) throw error;
    return answers[0]?.[1] === 1;
  }
}
