import { AckPolicy, DeliverPolicy, type JsMsg, type StreamInfo } from '@nats-io/jetstream';

import { decodeEntry } from '../entry-codec.js';
import type { Link } from './link.js';
import type { ResolvedNatsOptions } from './options.js';
import type { Subjects } from './subjects.js';

/** As many as a hub remembers. */
const MAX_CLOSED = 100_000;
/** Messages that are asked for at a time. */
const BATCH = 1_000;

/** A topic that is closed, and the sequence in the log of the entry that closed it. */
export interface ClosedTopic {
  readonly topic: string;
  readonly seq: number;
}

/**
 * Which topics are closed, beyond the entries that closed them: NATS itself copies these into another stream, which
 * keeps the last one of every topic, and for longer.
 */
export class Marks {
  constructor(
    private readonly subjects: Subjects,
    private readonly options: ResolvedNatsOptions,
  ) {}

  /** Whether they are those of this life of the log. */
  belongTo({ config }: StreamInfo, epoch: string): boolean {
    return config.description === descriptionFor(epoch);
  }

  /** Begins anew, for another life of the log. */
  async reset({ jsm }: Link, epoch: string): Promise<void> {
    const { marksStream, stream, marks } = this.subjects;
    await jsm.streams.delete(marksStream).catch(() => false);
    const { closedTopicAge, storage, replicas } = this.options;
    await jsm.streams.add({
      name: marksStream,
      description: descriptionFor(epoch),
      sources: [{ name: stream, filter_subject: marks }],
      max_msgs_per_subject: 1,
      max_msgs: MAX_CLOSED,
      max_age: closedTopicAge * 1_000_000,
      storage,
      num_replicas: replicas,
    });
  }

  async closed({ jsm, js }: Link, { state }: StreamInfo): Promise<ClosedTopic[]> {
    const { marksStream } = this.subjects;
    const closed: ClosedTopic[] = [];
    if (state.messages === 0) return closed;
    const info = await jsm.consumers.add(marksStream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.All,
      mem_storage: true,
      inactive_threshold: 30_000_000_000,
    });
    const consumer = js.consumers.getConsumerFromInfo(info);
    for (let left = info.num_pending; left > 0;) {
      const before = left;
      for await (const message of await consumer.fetch({ max_messages: Math.min(BATCH, left), expires: 2_000 })) {
        left = message.info.pending;
        const topic = closedBy(message);
        if (topic) closed.push(topic);
      }
      // It has been taken away meanwhile: the log has begun another life.
      if (left === before) throw new Error('the topics that are closed could not be read from NATS');
    }
    return closed;
  }
}

function descriptionFor(epoch: string): string {
  return `Topics that were closed or opened in the epoch ${epoch}; see nestjs-sse-hub`;
}

function closedBy(message: JsMsg): ClosedTopic | undefined {
  const entry = decodeEntry(message.string());
  // The stream it was copied from, and its sequence there.
  const [, seq] = message.headers?.get('Nats-Stream-Source').split(' ') ?? [];
  return entry?.kind === 'close' && seq !== undefined ? { topic: entry.topic, seq: Number(seq) } : undefined;
}
