import type { Block } from '../protocol/encode.js';

/** The fields of Nest's `MessageEvent`. */
export interface StreamMessage {
  readonly data?: string;
  readonly id?: string;
  readonly type?: string;
  readonly retry?: number;
  readonly comment?: string;
}

/** Characters of a message, with an allowance for its other fields. */
export function lengthOf({ data = '', comment = '' }: Pick<Block, 'data' | 'comment'>): number {
  return data.length + comment.length + 64;
}

/** Who wants to know how far Nest is. */
export interface MessageListener {
  /** Nest is at a message of so many characters now. */
  took(length: number): void;
}

/** Stands in the JSON of a message. */
const MARK = 'nestjs-sse-hub';

/**
 * What `stream()` emits: a message for Nest to write, which says when Nest writes it. Nest reads `retry` exactly then,
 * and of all fields only this one not before: so the getter tells how far Nest is, although Nest offers no backpressure.
 * https://github.com/nestjs/nest, SseStream and its formatMessage
 *
 * A message that has a `retry`, the first one above all, keeps it as a field like the others, because interceptors that
 * copy messages (`{ ...message }`, ClassSerializerInterceptor) leave getters behind.
 */
export class Message implements StreamMessage {
  declare readonly data?: string;
  declare readonly id?: string;
  declare readonly type?: string;
  declare readonly comment?: string;
  #listener: MessageListener | undefined;
  readonly #recipient: object | undefined;

  constructor(block: Block, listener: MessageListener | undefined, recipient: object | undefined) {
    const { id, event, data, comment, retry } = block;
    if (id !== undefined) this.id = id;
    if (event !== undefined) this.type = event;
    if (data !== undefined) this.data = data;
    if (comment !== undefined) this.comment = comment;
    if (retry !== undefined) Object.defineProperty(this, 'retry', { value: retry, enumerable: true });
    this.#listener = listener;
    this.#recipient = recipient;
  }

  get retry(): number | undefined {
    this.#listener?.took(lengthOf(this));
    this.#listener = undefined;
    return undefined;
  }

  /** Caches and envelopes make JSON of it. It says what it was, so that it is known when it comes back out of a cache. */
  toJSON(): object {
    return { ...Object.fromEntries(Object.entries(this)), [MARK]: true };
  }

  static recipientOf(value: object): object | undefined {
    return #recipient in value ? value.#recipient : undefined;
  }
}

/** Whom a message of `stream()` is for. */
export function recipientOf(value: unknown): object | undefined {
  return value instanceof Message ? Message.recipientOf(value) : undefined;
}

export function isMessage(value: unknown): boolean {
  return value instanceof Message;
}

/** It is one that a stream begins with. */
export function isFirstMessage(value: unknown): boolean {
  return value instanceof Message && Object.hasOwn(value, 'retry');
}

/** It is a message of `stream()` that has been stored as JSON, or a copy that has lost what it carried inside. */
export function wasMessage(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return value instanceof Message || Object.hasOwn(value, MARK);
}
