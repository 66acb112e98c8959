import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { Msg } from '@nats-io/transport-node';

import {
  ANSWER_TIME,
  type Audience,
  countIn,
  type GroupPresence,
  groupsIn,
  LEASE,
  LEASE_RENEWAL,
  mergeGroups,
  type Presence,
} from '../presence.js';
import type { Connection } from './connection.js';
import type { Subjects } from './subjects.js';

/** Milliseconds within which a node that has just come has heard of all the others. */
const ROLL_CALL = 250;

/** What a node says to all others, when it comes, now and then, and when it leaves. */
interface SignOfLife {
  readonly node: string;
  /** `hello`: it has just come, and wants to know who else is there. `bye`: it leaves. */
  readonly says?: 'hello' | 'bye';
}

/** What a node wants to know of all others: the clients of a topic, or their groups. */
interface Question {
  readonly node: string;
  readonly topic: string;
  readonly wants?: 'groups';
}

/** What a node says to that. */
interface Answer {
  readonly node: string;
  readonly clients?: number;
  readonly groups?: readonly GroupPresence[];
  /** Why it has no answer. */
  readonly fault?: string;
}

/** The time that this node is known to the others over one connection. */
interface Session {
  readonly connection: Connection;
  readonly since: number;
  end(): void;
}

/**
 * Counts the clients of all nodes by asking them, so nothing is announced while nobody wants to know. Every node says now
 * and then that it is there; whoever asks waits for the answers of those it has heard of.
 */
export class NatsPresence implements Presence {
  readonly #node = randomUUID();
  readonly #audiences = new Set<Audience>();
  /** The other nodes, and until when they count as alive. */
  readonly #leases = new Map<string, number>();
  #connection: Connection | undefined;
  #session: Session | undefined;

  constructor(private readonly subjects: Subjects) {}

  join(audience: Audience): void {
    this.#audiences.add(audience);
    if (this.#connection?.alive && !this.#session) this.#begin(this.#connection);
  }

  leave(audience: Audience): Promise<void> {
    this.#audiences.delete(audience);
    if (this.#audiences.size > 0) return Promise.resolve();
    this.#say('bye');
    this.#end();
    return Promise.resolve();
  }

  /** To be called for every connection that is opened. */
  attach(connection: Connection): void {
    this.#end();
    this.#connection = connection;
    if (this.#audiences.size > 0) this.#begin(connection);
    void connection.lost.then(() => {
      if (this.#session?.connection === connection) this.#end();
    });
  }

  async count(topic: string): Promise<number> {
    let count = countIn(this.#audiences, topic);
    for (const { clients = 0 } of await this.#ask({ node: this.#node, topic })) count += clients;
    return count;
  }

  async groups(topic: string): Promise<GroupPresence[]> {
    const answers = await this.#ask({ node: this.#node, topic, wants: 'groups' });
    return mergeGroups([groupsIn(this.#audiences, topic), ...answers.map(({ groups = [] }) => groups)]);
  }

  #begin(connection: Connection): void {
    const { subjects } = this;
    const own = subjects.presence(this.#node);
    const hear = { callback: guarded((message) => this.#hear(message)) };
    const subscriptions = [
      connection.nc.subscribe(subjects.presence('alive'), hear),
      connection.nc.subscribe(own, hear),
      connection.nc.subscribe(subjects.presence('ask'), { callback: guarded((message) => this.#answer(message)) }),
    ];
    const timer = setInterval(() => this.#say(), LEASE_RENEWAL).unref();
    const end = (): void => {
      clearInterval(timer);
      if (connection.nc.isClosed()) return;
      for (const subscription of subscriptions) subscription.unsubscribe();
    };
    this.#session = { connection, since: performance.now(), end };
    // When NATS was away all nodes say it at once, so the others tell nobody else that they are there.
    this.#say('hello', own);
  }

  #end(): void {
    this.#session?.end();
    this.#session = undefined;
    this.#leases.clear();
  }

  #say(says?: SignOfLife['says'], reply?: string): void {
    this.#publish(this.subjects.presence('alive'), this.#sign(says), reply);
  }

  #sign(says?: SignOfLife['says']): SignOfLife {
    return { node: this.#node, ...(says && { says }) };
  }

  #hear(message: Msg): void {
    const { node, says } = message.json<SignOfLife>();
    if (typeof node !== 'string' || node === this.#node) return;
    if (says === 'bye') this.#leases.delete(node);
    else this.#leases.set(node, performance.now() + LEASE);
    if (says === 'hello' && message.reply) this.#publish(message.reply, this.#sign());
  }

  #answer(message: Msg): void {
    const { node, topic, wants } = message.json<Question>();
    if (node === this.#node || typeof topic !== 'string' || message.reply === undefined) return;
    const audiences = this.#audiences;
    const answer: Omit<Answer, 'node'> =
      wants === 'groups' ? { groups: groupsIn(audiences, topic) } : { clients: countIn(audiences, topic) };
    this.#publish(message.reply, this.#fitting({ node: this.#node, ...answer }));
  }

  #fitting(answer: Answer): Answer {
    const most = this.#session?.connection.nc.info?.max_payload ?? Infinity;
    const bytes = Buffer.byteLength(JSON.stringify(answer));
    if (bytes <= most) return answer;
    return { node: this.#node, fault: `its groups are ${bytes} bytes, and max_payload of NATS is ${most}` };
  }

  async #ask(question: Question): Promise<Answer[]> {
    const session = this.#session;
    if (!session?.connection.alive) throw new Error('NATS cannot be reached');
    const { connection, since } = session;
    // Whoever has just come may not have heard of all the others yet.
    const rollCall = since + ROLL_CALL - performance.now();
    if (rollCall > 0) await delay(rollCall, undefined, { ref: false });
    const answers = new Map<string, Answer>();
    if (this.#others.length === 0) return [];
    const ask = this.subjects.presence('ask');
    const asked = await connection.nc.requestMany(ask, JSON.stringify(question), { maxWait: ANSWER_TIME });
    for await (const message of asked) {
      const answer = message.json<Answer>();
      if (answer.fault !== undefined) throw new Error(`Node ${answer.node} has no answer: ${answer.fault}`);
      answers.set(answer.node, answer);
      if (this.#others.every((other) => answers.has(other))) break;
    }
    if (!connection.alive) throw await connection.lost;
    return [...answers.values()];
  }

  get #others(): string[] {
    const now = performance.now();
    for (const [node, until] of this.#leases) if (until < now) this.#leases.delete(node);
    return [...this.#leases.keys()];
  }

  #publish(subject: string, value: SignOfLife | Answer, reply?: string): void {
    try {
      this.#session?.connection.nc.publish(subject, JSON.stringify(value), reply === undefined ? {} : { reply });
    } catch {
      // The connection is just being closed. Whoever asks goes without this node, which will be back on another one.
    }
  }
}

/** What others send there without need must not hurt: the client would stop reading at whatever is thrown here. */
function guarded(handle: (message: Msg) => void): (error: Error | null, message: Msg) => void {
  return (error, message) => {
    if (error) return;
    try {
      handle(message);
    } catch {
      // Not one of ours.
    }
  };
}
