import type { GroupEntry, GroupTopicEntry } from '../protocol/entry.js';
import { SSEError } from '../sse.error.js';
import type { Client } from './clients/client.js';
import type { Registry } from './clients/registry.js';
import type { Reporter } from './reporting/reporter.js';
import { TopicPattern } from './topics/topic-pattern.js';

/** What an entry asks of the clients of a group. */
export type GroupAct = GroupEntry | GroupTopicEntry;

/** Milliseconds for which an act is remembered: no handler takes as long to decide what a client may follow. */
const DECISION_TIME = 60_000;

/** What the log says of groups, carried out on this node's clients. */
export class Groups {
  /** When something was last done to a group, on the clock of `performance.now()`; oldest first. */
  readonly #actedAt = new Map<string, number>();
  /** The same where nobody can tell to which group. */
  #someActedAt = -Infinity;

  constructor(
    private readonly clients: Registry,
    private readonly reporter: Reporter,
  ) {}

  /** Acts on those that were open when the log got the entry, in its turn: what was published before leaves first. */
  act(act: GroupAct): void {
    this.#remember(act.group);
    const members = [...this.clients.membersOf(act.group)];
    switch (act.kind) {
      case 'removeGroup':
        for (const client of members) client.end(act.reconnect ? 'sentBack' : 'removed');
        break;
      case 'subscribeGroup':
        this.#subscribeAll(members, act);
        break;
      case 'unsubscribeGroup':
        for (const client of members) this.#unsubscribeOne(client, act);
        break;
    }
  }

  /** What was done to this group, or to any, and whether its clients were open by then, nobody can tell. */
  askAgain(group?: string): void {
    if (group === undefined) this.#someActedAt = performance.now();
    else this.#remember(group);
    const members = group === undefined ? this.clients.list() : [...this.clients.membersOf(group)];
    for (const client of members) if (client.group !== undefined) client.end('askedAgain');
  }

  /**
   * Whether something was done to the group since a request came in, perhaps after its handler had decided what the client
   * may follow: then that has to be decided again.
   */
  hasActedSince(group: string, time: number): boolean {
    return Math.max(this.#actedAt.get(group) ?? -Infinity, this.#someActedAt) >= time;
  }

  #remember(group: string): void {
    const now = performance.now();
    for (const [known, at] of this.#actedAt) {
      if (at > now - DECISION_TIME) break;
      this.#actedAt.delete(known);
    }
    this.#actedAt.delete(group);
    this.#actedAt.set(group, now);
  }

  // Nobody waits for the outcome: a client that follows too much already is left as it is.
  #subscribeAll(members: readonly Client[], act: GroupTopicEntry): void {
    let refused = 0;
    let reason: unknown;
    for (const client of members) {
      // Its own filter for the topic stays.
      if (client.topics.has(act.topic)) continue;
      try {
        this.clients.subscribe(client.id, nameOf(act), undefined);
        client.countFromHere(act.topic);
      } catch (error) {
        if (!(error instanceof SSEError)) throw error;
        refused++;
        reason = error;
      }
    }
    if (refused > 0) this.reporter.groupNotSubscribed(act.group, act.topic, refused, reason);
  }

  #unsubscribeOne(client: Client, act: GroupTopicEntry): void {
    client.pump();
    this.clients.unsubscribe(client.id, nameOf(act));
  }
}

function nameOf({ topic, pattern }: GroupTopicEntry): string | TopicPattern {
  return pattern ? new TopicPattern(topic) : topic;
}
