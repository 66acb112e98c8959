import type { Filter } from '../../sse.client.js';
import { SSEError } from '../../sse.error.js';
import type { Audience } from '../audience.js';
import type { HeldClients } from '../held-clients.js';
import type { Reporter } from '../reporting/reporter.js';
import type { TopicPattern } from '../topics/topic-pattern.js';
import type { Topics } from '../topics/topics.js';
import type { Turn } from '../turn.js';
import type { Client } from './client.js';
import type { AllFollowers, Followers } from './followers.js';

export interface RegistryContext {
  readonly followers: AllFollowers;
  readonly topics: Topics<Followers>;
  readonly audience: Audience;
  readonly turn: Turn;
  readonly held: HeldClients;
  readonly reporter: Reporter;
  readonly maxTopicsPerClient: number;
}

const NOBODY: ReadonlySet<Client> = new Set();

/** The clients of this node: by id, by group, and by what they follow. */
export class Registry {
  readonly #clients = new Map<string, Client>();
  /** Oldest first. */
  readonly #groups = new Map<string, Set<Client>>();

  constructor(private readonly context: RegistryContext) {}

  /** Open streams. */
  get size(): number {
    return this.#clients.size;
  }

  get(clientId: string): Client | undefined {
    return this.#clients.get(clientId);
  }

  /** Oldest first. */
  list(): Client[] {
    return [...this.#clients.values()];
  }

  /** Oldest first. */
  membersOf(group: string): ReadonlySet<Client> {
    return this.#groups.get(group) ?? NOBODY;
  }

  /** The clients that an event on this topic would reach, oldest first. */
  listTopic(topic: string): Client[] {
    const reached = new Set<Followers>(this.context.topics.followersOf(topic));
    return reached.size === 0 ? [] : this.list().filter(({ followers }) => reached.has(followers));
  }

  add(client: Client): void {
    const { id, group, followers, atOnce } = client;
    this.#clients.set(id, client);
    if (group !== undefined) {
      const mates = this.#groups.get(group);
      if (mates) mates.add(client);
      else this.#groups.set(group, new Set([client]));
    }
    if (atOnce) this.context.turn.clientsAtOnce++;
    this.#enter(client, followers);
  }

  delete(client: Client): void {
    const { id, group, followers, atOnce } = client;
    const { turn, held } = this.context;
    // Another may have come with its id while it was told of as gone.
    if (this.#clients.get(id) === client) this.#clients.delete(id);
    if (group !== undefined) {
      const mates = this.#groups.get(group);
      mates?.delete(client);
      if (mates?.size === 0) this.#groups.delete(group);
    }
    if (atOnce) turn.clientsAtOnce--;
    turn.forget(client);
    held.forget(client);
    this.#leave(client, followers);
  }

  /** Has a client follow one more name, or gives it another filter for that. Throws `TOO_MANY_TOPICS`. */
  subscribe(clientId: string, name: string | TopicPattern, filter: Filter | undefined): boolean {
    const client = this.#clients.get(clientId);
    if (!client) return false;
    const { following } = client.followers;
    const text = name.toString();
    if (following.has(name)) {
      client.setFilter(text, filter);
      return true;
    }
    const { maxTopicsPerClient, followers, reporter } = this.context;
    if (following.names.size >= maxTopicsPerClient) throw tooManyTopics(following.names.size + 1, maxTopicsPerClient);
    this.#move(client, followers.of(following.with(name), client.control.named), (next) =>
      client.addName(next, text, filter),
    );
    reporter.followed(client);
    return true;
  }

  unsubscribe(clientId: string, name: string | TopicPattern): boolean {
    const client = this.#clients.get(clientId);
    if (!client?.followers.following.has(name)) return false;
    const { followers, reporter } = this.context;
    const { following } = client.followers;
    this.#move(client, followers.of(following.without(name), client.control.named), (next) =>
      client.removeName(next, name.toString()),
    );
    reporter.followed(client);
    return true;
  }

  // In this order, so that a topic which is in both is never collected in between.
  #move(client: Client, next: Followers, takeOver: (next: Followers) => void): void {
    const last = client.followers;
    this.#enter(client, next);
    this.#leave(client, last);
    takeOver(next);
  }

  #enter(client: Client, followers: Followers): void {
    if (followers.size === 0) this.context.topics.attach(followers);
    followers.add(client);
    this.context.audience.touch(followers);
  }

  #leave(client: Client, followers: Followers): void {
    followers.delete(client);
    this.context.audience.touch(followers);
    if (followers.size > 0) return;
    this.context.topics.detach(followers);
    this.context.followers.collect(followers);
  }
}

export function tooManyTopics(count: number, limit: number): SSEError {
  return new SSEError(
    'TOO_MANY_TOPICS',
    `${count} topics on one connection; maxTopicsPerClient is ${limit}. Follow many with one topicPattern().`,
  );
}
