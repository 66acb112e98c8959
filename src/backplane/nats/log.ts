import { setTimeout as delay } from 'node:timers/promises';

import {
  JetStreamApiError,
  type NextMsgRequest,
  type SeqMsgRequest,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';

import { messageOf } from '../backplane-error.js';
import { randomEpoch } from '../epoch.js';
import type { Connection } from './connection.js';
import type { ResolvedNatsOptions } from './options.js';
import { Subjects } from './subjects.js';

/**
 * Milliseconds for which the server tells a message that is sent again by its ID. What arrives later than this was
 * looked for in the log before it was sent again; see `NatsSender`.
 */
const DUPLICATE_WINDOW = 120_000;

/** https://github.com/nats-io/nats-server/blob/main/server/errors.json */
const STREAM_NOT_FOUND = 10_059;
const WRONG_LAST_SEQUENCE = 10_071;

/** How often, and after how many milliseconds, a stream is looked at that a server is just making. */
const MOST_LOOKS = 50;
const BETWEEN_LOOKS = 20;

/** Milliseconds after which it is tried again to trim a log that could not be trimmed. */
const AGAIN_AFTER = 60_000;

const NANOS = 1_000_000;

/** Where the log stands: its epoch, and what is in it. */
export interface Head {
  readonly epoch: string;
  /** The sequence of the oldest message that is retained; beyond `last` when there is none. */
  readonly first: number;
  /** Of the last message that was ever added; 0 when there was none. */
  readonly last: number;
  /** When that was stored, in nanoseconds; 0 when it is not known. */
  readonly lastNanos: bigint;
  /** Between the two, some were deleted by an operator. It may be the last ones: `last` stays where it was. */
  readonly isSparse: boolean;
  /** The most messages that it may have, which is how many entries it is to keep. */
  readonly limit: number;
  /** Of a message, with what the server keeps beside it; 0 when there is none. */
  readonly averageBytes: number;
}

/** What stands beside the log, in the stream of its epoch. */
interface EpochRecord {
  readonly epoch: string;
  /** When the stream was made that it belongs to: one that was deleted and made again is another log. */
  readonly created: string;
}

/** The log in NATS: a stream, with its epoch in a stream of its own, because a restored stream is the same for NATS. */
export class NatsLog {
  readonly subjects: Subjects;
  #configured = false;
  #isTrimming = false;
  #trimAfter = -Infinity;

  constructor(
    readonly options: ResolvedNatsOptions,
    private readonly warn: (message: string) => void,
  ) {
    this.subjects = new Subjects(options.prefix);
  }

  /** Where the log stands; one that has not begun does now. */
  async head(connection: Connection): Promise<Head> {
    const [info, epoch] = await Promise.all([this.#made(connection), this.#record(connection)]);
    const { messages, bytes, first_seq, last_seq, last_ts } = info.state;
    const of = epoch?.created === info.created ? epoch : await this.#giveEpoch(connection, info.created, epoch);
    return {
      epoch: of.epoch,
      first: messages > 0 ? first_seq : last_seq + 1,
      last: last_seq,
      lastNanos: nanosOf(last_ts),
      isSparse: messages > 0 && messages <= last_seq - first_seq,
      limit: info.config.max_msgs > 0 ? info.config.max_msgs : Infinity,
      averageBytes: bytes / Math.max(1, messages),
    };
  }

  /** Whether there is anything from this sequence on, whosever it is. */
  async hasFrom(connection: Connection, seq: number): Promise<boolean> {
    const query: SeqMsgRequest & NextMsgRequest = { seq, next_by_subj: '>' };
    return (await connection.jsm.streams.getMessage(this.subjects.stream, query)) !== null;
  }

  /** Deletes what is before this message. Where that is not allowed, the log has no limits but those of the stream. */
  async trim(connection: Connection, message: number): Promise<void> {
    if (this.#isTrimming || performance.now() < this.#trimAfter) return;
    this.#isTrimming = true;
    try {
      await unlessMissing(connection.jsm.streams.purge(this.subjects.stream, { seq: message }));
      this.#trimAfter = -Infinity;
    } catch (error) {
      if (!connection.alive) return;
      if (this.#trimAfter === -Infinity) {
        this.warn(
          `The log in NATS cannot be trimmed (${messageOf(error)}). It is tried again; until then it has more entries ` +
            'than it should have, as many as the limits of its stream allow.',
        );
      }
      this.#trimAfter = performance.now() + AGAIN_AFTER;
    } finally {
      this.#isTrimming = false;
    }
  }

  /** Ends this epoch of the log: entries that were handed out in it are gone. Once, however many ask for it. */
  async renew(connection: Connection, epoch: string): Promise<void> {
    const [info, record] = await Promise.all([this.#made(connection), this.#record(connection)]);
    if (record?.epoch === epoch) await this.#giveEpoch(connection, info.created, record);
  }

  /** The stream of the log. While a server is just making it, it says that it was made in the year 1. */
  async #made(connection: Connection): Promise<StreamInfo> {
    for (let i = 0; i < MOST_LOOKS; i++) {
      const info = await this.#stream(connection);
      if (nanosOf(info.created) > 0n) return info;
      await delay(BETWEEN_LOOKS, undefined, { ref: false });
    }
    throw new Error('the stream of the log is still being made');
  }

  async #stream(connection: Connection): Promise<StreamInfo> {
    const { stream } = this.subjects;
    const info = await unlessMissing(connection.jsm.streams.info(stream));
    const isChecked = this.#configured;
    this.#configured = true;
    if (info) return isChecked || this.#isAsConfigured(info.config) ? info : this.#configure(connection, info);
    return this.#make(connection, { name: stream, ...this.#limits, ...this.#fixed, subjects: [this.subjects.log] });
  }

  /** The server takes none that is longer than what it keeps. */
  get duplicateWindow(): number {
    return Math.min(DUPLICATE_WINDOW, this.options.maxAge);
  }

  get #limits() {
    const { maxLength, maxAge, maxBytes } = this.options;
    return {
      max_msgs: maxLength,
      max_age: maxAge * NANOS,
      max_bytes: maxBytes === Infinity ? -1 : maxBytes,
      // Limits of one subject delete in the middle of the log, where nobody sees it.
      max_msgs_per_subject: -1,
      duplicate_window: this.duplicateWindow * NANOS,
    };
  }

  get #fixed() {
    const { storage, replicas } = this.options;
    return { storage, retention: 'limits', discard: 'old', num_replicas: replicas } as const;
  }

  #isAsConfigured(config: StreamConfig): boolean {
    return (
      Object.entries(this.#limits).every(([name, value]) => config[name as keyof StreamConfig] === value) &&
      config.discard === 'old' &&
      config.subjects.includes(this.subjects.log)
    );
  }

  /** Another version of the application, or the operator, made the stream: the options of the node that starts count. */
  async #configure(connection: Connection, info: StreamInfo): Promise<StreamInfo> {
    const subjects = [...new Set([...info.config.subjects, this.subjects.log])];
    try {
      const wanted = { ...info.config, ...this.#limits, discard: 'old' as const, subjects };
      return await connection.jsm.streams.update(this.subjects.stream, wanted);
    } catch (error) {
      this.warn(
        `The stream ${this.subjects.stream} in NATS has other limits than the backplane's options say, and cannot be ` +
          `changed (${messageOf(error)}). It is used as it is.`,
      );
      return info;
    }
  }

  /** Another node may be making it: servers then say many things, such as that it overlaps with itself. */
  async #make(connection: Connection, config: Partial<StreamConfig> & { name: string }): Promise<StreamInfo> {
    try {
      return await connection.jsm.streams.add(config);
    } catch (error) {
      const made =
        error instanceof JetStreamApiError && (await unlessMissing(connection.jsm.streams.info(config.name)));
      if (made) return made;
      throw error;
    }
  }

  async #record(connection: Connection): Promise<(EpochRecord & { readonly seq: number }) | undefined> {
    const { epochStream, epoch } = this.subjects;
    // NATS 2.9.10 dies of a look into a stream that another node is just making.
    const info = await unlessMissing(connection.jsm.streams.info(epochStream));
    if (!info || info.state.messages === 0) return undefined;
    const message = await unlessMissing(connection.jsm.streams.getMessage(epochStream, { last_by_subj: epoch }));
    return message ? { ...recordIn(message.string()), seq: message.seq } : undefined;
  }

  /** Gives the log another epoch, unless somebody else has just done so. */
  async #giveEpoch(
    connection: Connection,
    created: string,
    before: { readonly seq: number } | undefined,
  ): Promise<EpochRecord> {
    const { epochStream, epoch } = this.subjects;
    const lastSequence = before?.seq ?? (await this.#makeEpochStream(connection)).state.last_seq;
    // What is in the stream by now may be the epoch that another node has just given the log.
    const given = before ? undefined : await this.#record(connection);
    if (given?.created === created) return given;
    const record = { epoch: randomEpoch(), created };
    try {
      // A stream that is just being made does not listen yet.
      const options = { expect: { streamName: epochStream, lastSequence }, retries: 4 };
      await connection.js.publish(epoch, JSON.stringify(record), options);
    } catch (error) {
      if (!isApiError(error, WRONG_LAST_SEQUENCE)) throw error;
      const known = await this.#record(connection);
      if (known?.created === created) return known;
      throw new Error('the epoch of the log in NATS is being changed by others', { cause: error });
    }
    return record;
  }

  #makeEpochStream(connection: Connection): Promise<StreamInfo> {
    const { storage, replicas } = this.options;
    const { epochStream: name, epoch } = this.subjects;
    const description = 'Which epoch of the log it is; see nestjs-sse-hub';
    const config = { name, subjects: [epoch], max_msgs: 1, storage, num_replicas: replicas, description };
    return this.#make(connection, config);
  }
}

/** What a message of that stream says. Nonsense belongs to no log, so that one begins anew. */
function recordIn(text: string): EpochRecord {
  const nothing = { epoch: '', created: '' };
  try {
    const { epoch, created } = (JSON.parse(text) ?? {}) as Partial<Record<keyof EpochRecord, unknown>>;
    const isOne = typeof epoch === 'string' && /^[0-9a-z._]{1,64}$/.test(epoch) && typeof created === 'string';
    return isOne ? { epoch, created } : nothing;
  } catch {
    return nothing;
  }
}

/** A time of the server's, such as 2024-01-31T12:00:00.123456789Z. Zero for none: Go's is in the year 1. */
export function nanosOf(time: string): bigint {
  const ms = Date.parse(time.replace(/\.\d+/, ''));
  if (!(ms > 0)) return 0n;
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? '';
  return BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0').slice(0, 9));
}

export function millisOf(nanos: bigint): number {
  return Number(nanos / 1_000_000n);
}

async function unlessMissing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (isApiError(error, STREAM_NOT_FOUND)) return undefined;
    throw error;
  }
}

function isApiError(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}
