import { createInbox, headers, type Msg, type NatsConnection } from '@nats-io/transport-node';

import type { Cursor } from '../../protocol/cursor.js';
import { BackplaneError, messageOf } from '../backplane-error.js';
import { type Outgoing, Refused, type Sender } from '../broker/sender.js';
import { ANSWER_TIMEOUT, type Connection } from './connection.js';
import { MESSAGE_ID, type NatsLog } from './log.js';
import type { OwnAppends } from './own-appends.js';

/**
 * Milliseconds that the oldest append may be without an answer before the next has to wait for it. While a cluster finds
 * a new leader, appends get lost; one that followed them could be stored by the new one, and then they would come after
 * it. No election is as quick as this.
 */
const STALL = 200;

/** Codes of what is wrong with a message, and stays wrong: it is too large for this stream, or its headers are. */
const FAULTS_OF_ENTRIES: ReadonlySet<number | undefined> = new Set([10_054, 10_097]);

/** What a message has beside its entry: the protocol line, its headers. */
const OVERHEAD = 512;

/** An entry that was sent, and has not been read yet. */
interface Pending {
  readonly item: Outgoing;
  readonly sentAt: number;
  readonly settled: Promise<unknown>;
  readonly reject: (error: BackplaneError) => void;
}

/** When an entry that may be stored was first sent, and last. */
interface Doubt {
  readonly since: number;
  readonly last: number;
}

/** What JetStream answers to an append. */
interface Answer {
  readonly error?: { readonly err_code?: number; readonly description?: string };
  readonly seq?: number;
}

/**
 * Appends to the log in NATS in order, without waiting for answers as long as they come quickly. What NATS has answered
 * for is settled when this node has read it.
 */
export class NatsSender implements Sender {
  /** Entries that NATS has not answered for, by their numbers, oldest first. */
  readonly #pending = new Map<number, Pending>();
  /** Entries that NATS has answered for. They are not sent again, however long it takes until this node reads them. */
  readonly #unread = new Map<number, Pending>();
  readonly #doubts = new WeakMap<Outgoing, Doubt>();
  #turn: Promise<void> = Promise.resolve();
  /** One has failed: what follows it has to wait for its repetition. */
  #failed = false;
  /** The connection on which answers are heard. */
  #listeningOn: Connection | undefined;
  #inbox = '';
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param connection The connection, once this node has read everything that was stored while there was none: so an
   *   append that was on its way when one broke has been looked for in the log before it is sent again, however long that
   *   took.
   */
  constructor(
    private readonly log: NatsLog,
    private readonly ownAppends: OwnAppends,
    private readonly connection: () => Connection | undefined,
  ) {}

  open(): Promise<void> {
    if (this.connection()) return Promise.resolve();
    return Promise.reject(new BackplaneError('NATS cannot be reached', 'no'));
  }

  send(batch: readonly Outgoing[]): readonly Promise<Cursor>[] {
    return batch.map((item) => {
      const { promise, resolve, reject } = withResolvers<Cursor>();
      this.#turn = this.#turn.then(() => this.#inTurn(item, resolve, reject, promise));
      return promise;
    });
  }

  async #inTurn(item: Outgoing, resolve: (cursor: Cursor) => void, reject: Reject, settled: Promise<Cursor>) {
    if (item.after === 0) this.#failed = false;
    if (this.#isStalled) await Promise.allSettled([...this.#pending.values()].map((pending) => pending.settled));
    if (this.#failed) return reject(new BackplaneError('NATS has not stored the entry before it', 'no'));
    try {
      this.#publish(item, resolve, reject, settled);
    } catch (error) {
      this.#fail(item.n, reject, error instanceof BackplaneError ? error : unknown(messageOf(error), error));
    }
  }

  get #isStalled(): boolean {
    const [oldest] = this.#pending.values();
    return oldest !== undefined && performance.now() - oldest.sentAt > STALL;
  }

  #publish(item: Outgoing, resolve: Resolve, reject: Reject, settled: Promise<Cursor>): void {
    const { n, uid, entry, text, bytes } = item;
    const { ownAppends, log } = this;
    const known = ownAppends.find(uid);
    if (known) return resolve(known);
    const connection = this.connection();
    if (!connection) throw new BackplaneError('NATS cannot be reached', 'no');
    const limit = connection.nc.info?.max_payload ?? Infinity;
    if (bytes + OVERHEAD > limit) {
      throw new Refused(`The entry is ${bytes} bytes; the max_payload of the NATS server is ${limit}.`, 'no');
    }
    this.#assertInTime(item);
    this.#listen(connection);
    const sentAt = performance.now();
    this.#doubts.set(item, { since: this.#doubts.get(item)?.since ?? sentAt, last: sentAt });
    this.#pending.set(n, { item, sentAt, settled, reject });
    ownAppends.wait(uid, (cursor) => {
      this.#takeOut(n);
      resolve(cursor);
    });
    const fields = headers();
    fields.set(MESSAGE_ID, uid);
    connection.nc.publish(log.subjects.of(entry), text, { reply: `${this.#inbox}.${n}`, headers: fields });
    this.#watch(ANSWER_TIMEOUT);
  }

  /** What was not found in the log must not get there behind what followed it, or for the second time. */
  #assertInTime(item: Outgoing): void {
    const { ownAppends, log } = this;
    const doubt = this.#doubts.get(item);
    const mayBeGone = doubt !== undefined && ownAppends.hasMissedSince(doubt.since);
    if (!mayBeGone && ownAppends.isOvertaken(item.uid)) {
      throw new Refused('A later entry of this publisher is in the log in NATS', doubt ? 'unknown' : 'no');
    }
    // For so long NATS certainly remembers its ID.
    if (!doubt || performance.now() - doubt.since <= log.duplicateWindow / 2) return;
    if (mayBeGone) {
      throw new Refused('What the log in NATS got meanwhile is gone, and may have held the entry', 'unknown');
    }
    if (!ownAppends.hasReadSince(doubt.last)) {
      throw new Refused('This node reads too far behind the log in NATS to tell whether it has the entry', 'unknown');
    }
  }

  /** One subscription for all answers: a request of its own for every append costs several times as much. */
  #listen(connection: Connection): void {
    if (this.#listeningOn === connection) return;
    this.#listeningOn = connection;
    this.#inbox = createInbox(inboxPrefixOf(connection.nc));
    const subscription = connection.nc.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (!error) this.#onAnswer(message);
      },
    });
    void connection.lost.then(({ message }) => {
      if (this.#listeningOn !== connection) return;
      this.#listeningOn = undefined;
      if (!connection.nc.isClosed()) subscription.unsubscribe();
      // Also what was answered: a server that is back may have lost it.
      for (const [n, { reject }] of [...this.#unread, ...this.#pending]) this.#fail(n, reject, unknown(message));
    });
  }

  #onAnswer(message: Msg): void {
    const n = Number(message.subject.slice(this.#inbox.length + 1));
    const pending = this.#pending.get(n);
    if (!pending) return;
    if (message.headers?.code === 503) {
      return this.#fail(n, pending.reject, new BackplaneError('NATS has nobody who keeps the log', 'no'));
    }
    const { error, seq } = message.json<Answer>();
    if (error) {
      const Kind = FAULTS_OF_ENTRIES.has(error.err_code) ? Refused : BackplaneError;
      return this.#fail(n, pending.reject, new Kind(`NATS refuses it: ${error.description}`, 'no'));
    }
    if (seq === undefined) return;
    this.#pending.delete(n);
    this.#unread.set(n, pending);
    this.ownAppends.answered(pending.item.uid, seq);
  }

  #fail(n: number, reject: Reject, error: BackplaneError): void {
    const pending = this.#takeOut(n);
    if (pending) this.#settleDoubt(pending, error);
    if (!(error instanceof Refused)) this.#failed = true;
    reject(error);
  }

  #takeOut(n: number): Pending | undefined {
    const pending = this.#pending.get(n) ?? this.#unread.get(n);
    this.#pending.delete(n);
    this.#unread.delete(n);
    return pending;
  }

  #settleDoubt({ item, sentAt }: Pending, { stored }: BackplaneError): void {
    this.ownAppends.forget(item.uid);
    // This attempt has stored nothing, and it was the first.
    if (stored === 'no' && this.#doubts.get(item)?.since === sentAt) this.#doubts.delete(item);
  }

  // One timer for all: they have the same patience, so the oldest is the next.
  #watch(ms: number): void {
    if (this.#timer) return;
    this.#timer = setTimeout(() => this.#onTime(), ms).unref();
  }

  #onTime(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [n, { sentAt, reject }] of [...this.#pending]) {
      if (now - sentAt < ANSWER_TIMEOUT) return this.#watch(ANSWER_TIMEOUT - (now - sentAt));
      this.#fail(n, reject, unknown(`NATS did not answer within ${ANSWER_TIMEOUT} ms`));
    }
  }
}

type Resolve = (cursor: Cursor) => void;
type Reject = (error: BackplaneError) => void;

function withResolvers<T>() {
  let resolve: (value: T) => void = () => {};
  let reject: Reject = () => {};
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

function unknown(message: string, cause?: unknown): BackplaneError {
  return new BackplaneError(message, 'unknown', { cause });
}

/** Accounts that may only subscribe to inboxes of their own have said so to the client. */
function inboxPrefixOf(nc: NatsConnection): string | undefined {
  return (nc as { options?: { inboxPrefix?: string } }).options?.inboxPrefix;
}
