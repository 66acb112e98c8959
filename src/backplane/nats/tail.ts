import {
  AckPolicy,
  type ConsumerMessages,
  type ConsumerNotification,
  DeliverPolicy,
  type JsMsg,
} from '@nats-io/jetstream';

import type { Connection } from './connection.js';

/**
 * Messages that may be on their way at a time: a node that was busy gets them in steps. As many of the largest batches of
 * several entries are 32 MiB.
 */
const WINDOW = 128;
/** With fewer, the client would not ask for the next in time. */
const LEAST_WINDOW = 4;
/**
 * Bytes that may be on their way, as far as the size of messages can be told before they come: a server cuts off whoever
 * has more than 64 MiB waiting (`max_pending`). A limit of bytes for the server itself would stop the client's reading
 * where a message is larger than what is left of it.
 */
const WINDOW_BYTES = 16 * 1024 * 1024;
/** Milliseconds between signs of life of a stream that has nothing new. Two that stay out are a failure. */
const IDLE_HEARTBEAT = 1_000;
const PULL_EXPIRES = 10_000;
/** Milliseconds after which the server forgets about a reader that is gone. */
const FORGOTTEN_AFTER = 30_000;

const FAILURES: ReadonlySet<ConsumerNotification['type']> = new Set([
  'heartbeats_missed',
  'no_responders',
  'consumer_deleted',
  'consumer_not_found',
  'stream_not_found',
  'exceeded_limits',
]);

export interface TailListener {
  message(message: JsMsg): void;
  failed(error: Error): void;
}

/**
 * The messages of a stream from one sequence on, each once and in order, until something is the matter: then it fails,
 * and whoever reads begins another one behind what it has. (The client's own ordered consumer goes on by itself, also
 * when the stream has become another one.)
 */
export class Tail {
  #delivered = 0;
  #largest = 0;
  #over = false;
  #messages: ConsumerMessages | undefined;

  constructor(private readonly listener: TailListener) {}

  /** Bytes of the largest message that it has read. */
  get largest(): number {
    return this.#largest;
  }

  /**
   * Settles when it reads, or has been stopped before that.
   *
   * @param size Bytes that a message is expected to have at most.
   */
  async open(connection: Connection, stream: string, from: number, size: number): Promise<void> {
    const info = await connection.jsm.consumers.add(stream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: Math.max(1, from),
      inactive_threshold: FORGOTTEN_AFTER * 1_000_000,
      mem_storage: true,
      num_replicas: 1,
      max_deliver: 1,
    });
    if (this.#over) return;
    const messages = await connection.js.consumers.getConsumerFromInfo(info).consume({
      max_messages: Math.min(WINDOW, Math.max(LEAST_WINDOW, Math.floor(WINDOW_BYTES / size))),
      expires: PULL_EXPIRES,
      idle_heartbeat: IDLE_HEARTBEAT,
      bind: true,
      callback: (message) => this.#take(message),
    });
    this.#messages = messages;
    if (this.#over) return this.stop();
    void this.#watch(messages);
  }

  stop(): void {
    this.#over = true;
    this.#messages?.close().catch(() => {});
  }

  #take(message: JsMsg): void {
    if (this.#over) return;
    // The consumer counts what it sends: one that is missing was lost on the way.
    if (message.info.deliverySequence !== ++this.#delivered) return this.#fail('messages were lost on the way');
    this.#largest = Math.max(this.#largest, message.data.length);
    try {
      this.listener.message(message);
    } catch (error) {
      this.#over = true;
      this.listener.failed(error as Error);
    }
  }

  async #watch(messages: ConsumerMessages): Promise<void> {
    for await (const { type } of messages.status()) {
      if (FAILURES.has(type)) this.#fail(`the stream does not answer (${type.replaceAll('_', ' ')})`);
    }
    this.#fail('reading the stream has ended');
  }

  #fail(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.listener.failed(new Error(reason));
  }
}
