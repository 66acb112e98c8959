import type { Batch } from '../../protocol/frame.js';
import { Following, type TopicsAndPatterns } from '../topics/following.js';
import type { Follower } from '../topics/topics.js';
import type { Place } from './place.js';

/** A client, as the turn and its fellows see it. */
export interface Member {
  /** Those who follow the same; it is one of them. */
  readonly followers: Followers;
  /** It gets every event within the call that published it. */
  readonly atOnce: boolean;
  /** It takes what is compressed for all who do. */
  readonly compressed: boolean;
  /** When its time is up; milliseconds since 1970. */
  readonly expiresAt: number;
  /** The index of the first entry that it has not passed. */
  readonly next: number;
  /** Whether what it has not got yet should be kept for it beyond the limits of its topics. */
  readonly keepsUp: boolean;
  /** Whether it has got everything before `end`, so that the turn has nothing for it. */
  hasPassed(end: number): boolean;
  /** Writes what everybody in step gets. */
  writeShared(shared: Shared): void;
  /** Writes what follows its place until it is at the head or its transport is full. */
  pump(): void;
  /** Joins those in step, if it gets just what they get. */
  joinStep(): void;
  leaveStep(): void;
  /** Spells out where it is, before what everybody has passed moves on. */
  takePosition(): void;
  /** Another epoch of the log has begun: nothing of the old one can follow. */
  restart(): void;
  /** The window of the log is known. */
  settle(): void;
  /** The log has not got what it claims to have, and never will. */
  startDiverged(): void;
}

/** What a turn has for everybody in step. */
export interface Shared {
  /** All that a client keeps of it: not the bytes, which would then stay as long as the client has nothing newer. */
  readonly place: Place;
  readonly batch: Batch;
  readonly events: number;
}

/** The clients of a lane have something to get, and were written to just now. */
export interface Wait {
  /** The index of the first entry that has not been written to them. */
  readonly from: number;
  /** They are being given it. */
  readonly isEnding: boolean;
}

/** The clients of `Followers` that are written to at the same time. */
export class Lane {
  readonly clients = new Set<Member>();
  /** Those of them that have got everything so far. */
  readonly inStep = new InStep();
  /** Where the hub has a pace: when they were last written to together, on the clock of `performance.now()`. */
  writtenAt: number | undefined;
  /** They wait for their interval to be over. */
  wait: Wait | undefined;
}

/**
 * The clients of a lane that are at the same place and get just what everybody gets. What comes next is the same bytes for
 * all of them, and nothing of a client is looked at for it: that would cost more than the hub's whole part of the write.
 */
export class InStep implements Iterable<Member> {
  readonly #clients = new Set<Member>();
  #until = Infinity;

  get size(): number {
    return this.#clients.size;
  }

  /** No client's time is up before this, in milliseconds since 1970. */
  get until(): number {
    return this.#until;
  }

  add(client: Member): void {
    this.#clients.add(client);
    this.#until = Math.min(this.#until, client.expiresAt);
  }

  delete(client: Member): void {
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#until = Infinity;
  }

  /** Has those leave to whom an event of this time must not be given any more. */
  expire(ms: number): void {
    for (const client of [...this.#clients]) if (client.expiresAt < ms) client.leaveStep();
    this.#until = [...this.#clients].reduce((until, { expiresAt }) => Math.min(until, expiresAt), Infinity);
  }

  [Symbol.iterator](): IterableIterator<Member> {
    return this.#clients.values();
  }
}

/** The clients that follow the same. They share the bytes of every turn. */
export class Followers implements Follower {
  /** Clients that get every event within the call that published it. */
  readonly atOnce = new Lane();
  /** Clients that get what a turn published at its end. */
  readonly atTurnEnd = new Lane();
  #compressedReaders = 0;

  constructor(
    readonly following: Following,
    /** Whether they are sent control events: the bytes of a turn differ by that. */
    readonly named: boolean,
  ) {}

  get size(): number {
    return this.atOnce.clients.size + this.atTurnEnd.clients.size;
  }

  get clients(): Member[] {
    return [...this.atOnce.clients, ...this.atTurnEnd.clients];
  }

  /** How many of the clients have their stream compressed. */
  get compressedReaders(): number {
    return this.#compressedReaders;
  }

  add(client: Member): void {
    this.laneOf(client).clients.add(client);
    if (client.compressed) this.#compressedReaders++;
  }

  delete(client: Member): void {
    const { clients, inStep } = this.laneOf(client);
    if (!clients.delete(client)) return;
    inStep.delete(client);
    if (client.compressed) this.#compressedReaders--;
  }

  laneOf({ atOnce }: Member): Lane {
    return atOnce ? this.atOnce : this.atTurnEnd;
  }
}

/** All followers of this node, those of the same together. */
export class AllFollowers implements Iterable<Followers> {
  readonly #byKey = new Map<string, Followers>();
  /** Clients that follow nothing, or nothing yet. */
  readonly ofNothing: Followers;

  constructor(private readonly delimiter: string) {
    this.ofNothing = new Followers(new Following({ topics: [], patterns: [] }, delimiter), true);
  }

  /** The one of exactly these topics and patterns, for clients with or without control events. */
  of(names: TopicsAndPatterns, named: boolean): Followers {
    const following = new Following(names, this.delimiter);
    if (following.empty) return this.ofNothing;
    const key = keyOf(following, named);
    const known = this.#byKey.get(key);
    if (known) return known;
    const followers = new Followers(following, named);
    this.#byKey.set(key, followers);
    return followers;
  }

  /** Forgets those of what nobody follows any more. */
  collect({ following, named, size }: Followers): void {
    if (size === 0) this.#byKey.delete(keyOf(following, named));
  }

  /** Those who follow something. */
  [Symbol.iterator](): IterableIterator<Followers> {
    return this.#byKey.values();
  }

  /** Every client of this node, also those who follow nothing. */
  *clients(): Generator<Member> {
    for (const followers of [this.ofNothing, ...this]) yield* followers.clients;
  }
}

function keyOf({ key }: Following, named: boolean): string {
  return named ? key : `-\t${key}`;
}
