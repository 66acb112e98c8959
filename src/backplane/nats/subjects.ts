import { createHash } from 'node:crypto';

import type { Entry } from '../../protocol/entry.js';

/** Bytes of an encoded topic. A subject of several thousand is refused by servers, and all are in their memory. */
const MAX_TOKEN = 200;

/** The names of one log in NATS: its streams, and the subjects of what is in them. */
export class Subjects {
  readonly stream: string;
  /** The stream with the epoch, beside the log, and its subject. */
  readonly epochStream: string;
  readonly epoch: string;
  /** What the log's stream takes. */
  readonly all: readonly string[];

  constructor(readonly prefix: string) {
    this.stream = prefix;
    this.epochStream = `${prefix}-epoch`;
    this.epoch = `${prefix}.epoch`;
    this.all = [`${prefix}.t.*`, `${prefix}.everybody`, `${prefix}.group`];
  }

  /** Where an entry goes: a subject per topic, so that one can be looked at by itself with NATS' own tools. */
  of(entry: Entry): string {
    if ('group' in entry) return `${this.prefix}.group`;
    if (entry.topic === undefined) return `${this.prefix}.everybody`;
    return `${this.prefix}.t.${tokenOf(entry.topic)}`;
  }

  /** For what nodes ask each other, outside the log. */
  presence(what: string): string {
    return `${this.prefix}.presence.${what}`;
  }
}

const PLAIN = /[^\w:/@~-]/gu;

/**
 * A topic as one token of a subject, never the same for two. Subjects must not hold spaces, dots, `*`, `>` or control
 * characters; what is not plain becomes `=` and its bytes in hexadecimal. One that gets too long is named by its hash,
 * behind a `#`, which no other token has.
 */
export function tokenOf(topic: string): string {
  const token = topic.replace(PLAIN, escape);
  return token.length <= MAX_TOKEN ? token : `#${createHash('sha256').update(topic).digest('base64url')}`;
}

function escape(character: string): string {
  return [...Buffer.from(character)].map((byte) => `=${byte.toString(16).padStart(2, '0')}`).join('');
}
