import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { withTimeout } from '../broker/with-timeout.js';
import { ANSWER_TIME } from '../presence.js';
import type { Connection } from './connection.js';
import type { Keys } from './keys.js';
import { COMMAND_TIMEOUT } from './log.js';

/** Milliseconds after which Redis forgets questions and answers. Nobody waits for them as long as that. */
const LIFE = 10_000;
/** Questions that are kept: who reads later than so many are asked has let its asker wait too long. */
const MAX_QUESTIONS = 1_000;
/** Milliseconds between looks for answers. */
const LOOK_INTERVAL = 10;

/** What a node wants to know of all others. */
export interface Question {
  readonly topic: string;
  /** The key of the stream that answers go to. */
  readonly reply: string;
}

/** Questions that nodes ask each other, in a short stream beside the log: every node's reader reads that along with the log. */
export class Questions {
  constructor(private readonly keys: Keys) {}

  /** What each of these nodes answers; those that have not within `ANSWER_TIME` are left out, as if they were dead. */
  async ask(topic: string, nodes: readonly string[], connection: Connection): Promise<string[]> {
    const reply = this.keys.answers(randomUUID());
    const asking = connection
      .pipeline()
      .xadd(this.keys.questions, 'MAXLEN', '~', MAX_QUESTIONS, '*', 'topic', topic, 'reply', reply)
      .pexpire(this.keys.questions, LIFE)
      .exec();
    for (const [error] of (await withTimeout(asking, COMMAND_TIMEOUT, 'Redis')) ?? []) if (error) throw error;
    const missing = new Set(nodes);
    const answers: string[] = [];
    const until = performance.now() + ANSWER_TIME;
    for (let from = '-'; missing.size > 0 && performance.now() < until;) {
      await delay(LOOK_INTERVAL, undefined, { ref: false });
      for (const [id, fields] of await withTimeout(connection.xrange(reply, from, '+'), COMMAND_TIMEOUT, 'Redis')) {
        from = `(${id}`;
        const [, node = '', , answer = ''] = fields;
        if (missing.delete(node)) answers.push(answer);
      }
    }
    return answers;
  }

  async answer({ reply }: Question, node: string, answer: string, connection: Connection): Promise<void> {
    const answering = connection
      .pipeline()
      .xadd(reply, '*', 'node', node, 'answer', answer)
      .pexpire(reply, LIFE)
      .exec();
    await withTimeout(answering, COMMAND_TIMEOUT, 'Redis');
  }

  /** `undefined` for what somebody else has put there: what is written for it must not go just anywhere. */
  read([, topic, , reply]: readonly string[]): Question | undefined {
    return topic !== undefined && reply?.startsWith(this.keys.answers('')) ? { topic, reply } : undefined;
  }
}
