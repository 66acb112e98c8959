/** Milliseconds after which a node that has not been heard of counts as dead. */
export const LEASE = 10_000;
/** Milliseconds between two signs of life: one may get lost without the node being taken for dead. */
export const LEASE_RENEWAL = 3_000;
/** Milliseconds that nodes which are asked may take; whoever has not answered by then is left out, as if it were dead. */
export const ANSWER_TIME = 1_000;
/** Milliseconds in which changes are gathered before they are announced. */
export const ANNOUNCEMENT_INTERVAL = 1_000;

/**
 * What the clients of a node follow, as numbers. A client counts once for every topic, whatever it follows: a topic that
 * one of its own patterns matches is left out of `topics`.
 */
export interface Audiences {
  /** Clients by topic. */
  readonly topics: ReadonlyMap<string, number>;
  /** Clients by all of the patterns that they follow, one a line. */
  readonly patterns: ReadonlyMap<string, number>;
}

/** Who follows a topic: a group that does, with all of its clients. */
export interface GroupPresence {
  readonly group: string;
  /** Its clients that follow the topic. */
  readonly streams: number;
  /** When the oldest and the newest of them connected, in milliseconds since 1970. */
  readonly since: number;
  readonly latest: number;
  /** `metadata` of its newest client that has some, as JSON. */
  readonly metadata?: Record<string, unknown> | undefined;
}

/** The clients of one node, as far as others have to know. */
export interface Audience {
  /** Those that an event on the topic would reach. */
  count(topic: string): number;
  /** The groups of those that have one. */
  groups(topic: string): readonly GroupPresence[];
  /** What has changed since this was last called, 0 for what is gone; with `anew`, and at first, everything. */
  changes(anew: boolean): Audiences;
  /** Whether a topic matches one of these patterns, one a line. */
  matches(patterns: string, topic: string): boolean;
}

/**
 * Counts clients over all nodes of a log. Optional: a backplane without it is as good a log.
 *
 * The contract:
 * - A node that has joined is counted until it leaves or dies. It never leaves because the broker is away for a while:
 *   when that is back it is counted again within some seconds, without anybody's doing.
 * - What belongs to a node is kept under a lease that it renews every `LEASE_RENEWAL`, and that expires `LEASE` after
 *   the node has died.
 * - `count` is exact for the clients of this process. What it says of others may be some seconds old, never older than
 *   `LEASE`. It rejects when the others cannot be asked, rather than to leave them out. The same holds for `groups`.
 * - Nothing is done per client or event: changes leave at most once in `ANNOUNCEMENT_INTERVAL`, or only when asked for.
 */
export interface Presence {
  /** Idempotent; takes no time, whether or not the broker is there. */
  join(audience: Audience): void;
  /** Lets go of the lease, as far as the broker is there. Idempotent. */
  leave(audience: Audience): Promise<void>;
  /** The clients of all nodes that an event on the topic would reach, each counted once. */
  count(topic: string): Promise<number>;
  /** Their groups, oldest first, each once. Absent where nodes cannot ask each other. */
  groups?(topic: string): Promise<GroupPresence[]>;
}

/** The clients of these hubs that an event on the topic would reach. */
export function countIn(audiences: Iterable<Audience>, topic: string): number {
  let count = 0;
  for (const audience of audiences) count += audience.count(topic);
  return count;
}

/** What several nodes, or hubs, say of the groups of a topic, in one. Oldest first. */
export function mergeGroups(answers: Iterable<Iterable<GroupPresence>>): GroupPresence[] {
  const groups = new Map<string, GroupPresence>();
  for (const answer of answers) {
    for (const one of answer) {
      const known = groups.get(one.group);
      groups.set(one.group, known ? merge(known, one) : one);
    }
  }
  return [...groups.values()].sort((a, b) => a.since - b.since);
}

function merge(a: GroupPresence, b: GroupPresence): GroupPresence {
  const [older, newer] = a.latest <= b.latest ? [a, b] : [b, a];
  return {
    group: a.group,
    streams: a.streams + b.streams,
    since: Math.min(a.since, b.since),
    latest: newer.latest,
    metadata: newer.metadata ?? older.metadata,
  };
}

/** The groups of the clients of these hubs. */
export function groupsIn(audiences: Iterable<Audience>, topic: string): GroupPresence[] {
  return mergeGroups([...audiences].map((audience) => audience.groups(topic)));
}
