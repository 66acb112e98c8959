import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { type SSEClient, SSEService, topicPattern } from 'nestjs-sse-hub';
import { concatMap, delay, filter, interval, map, merge, mergeMap, Subject, type Subscription } from 'rxjs';

import { type DemoUser, userTopic } from '../users/demo-users.js';
import { isName } from '../validate.js';
import { documentTopic } from './documents.service.js';

interface Events {
  [document: `document:${string}`]: Record<'joined' | 'left', { user: string; viewers: readonly string[] }>;
}

/**
 * Milliseconds after which whoever has not come back is gone. A page that is reloaded, or whose node has died, is back
 * before: an EventSource waits for 3 to 4.5 seconds.
 */
const AWAY = 6_000;

/** Who was away at the look before is gone if this one misses them, too. */
interface Look {
  readonly documentId: string;
  readonly missed: readonly string[];
}

/**
 * The id of a stream. A tab that comes back is the same client, so that what was not for its author is not replayed to
 * it either.
 */
export function viewerId(documentId: string, user: DemoUser, tab: unknown): { id?: string } {
  return isName(tab) ? { id: `${userTopic(user)}:${documentId}:${tab}` } : {};
}

/**
 * Tells the viewers of a document who comes and goes. Every node looks who is there, and says what has changed since it
 * was last said, by whichever node.
 */
@Injectable()
export class DocumentViewers implements OnModuleInit, OnModuleDestroy {
  /** Who is there, as far as viewers have been told. */
  readonly #told = new Map<string, readonly string[]>();
  readonly #missed = new Subject<Look>();
  #subscription: Subscription | undefined;

  constructor(private readonly sse: SSEService<Events>) {
    sse
      .observe(topicPattern('document:*'), { since: 0 })
      .pipe(filter(({ event }) => event === 'joined' || event === 'left'))
      .subscribe(({ topic, data }) => this.#told.set(topic, data.viewers));
  }

  onModuleInit(): void {
    const changed = this.sse.connections.pipe(
      filter(({ reason }) => reason !== 'shutdown'),
      map(({ client }) => documentOf(client)),
    );
    // A node that dies tells nobody. Nodes look at different times, so that one of them says it first.
    const sometimes = interval(AWAY + Math.random() * 1_000).pipe(
      mergeMap(() => new Set(this.sse.getClients().map(documentOf))),
    );
    const looks = merge(changed, sometimes).pipe(
      filter((id) => id !== undefined),
      map((documentId): Look => ({ documentId, missed: [] })),
    );
    this.#subscription = merge(looks, this.#missed.pipe(delay(AWAY)))
      .pipe(concatMap((look) => this.#look(look)))
      .subscribe();
  }

  onModuleDestroy(): void {
    this.#subscription?.unsubscribe();
  }

  /** Their names, each once however many streams they have open, on whichever node; also of those who are away for a moment. */
  async of(documentId: string): Promise<string[]> {
    const topic = documentTopic(documentId);
    const told = this.#told.get(topic) ?? [];
    try {
      return union(told, namesOf(await this.sse.groupsOf(topic)));
    } catch {
      // The broker is away: then those of this node.
      return union(told, namesOf(this.sse.getClientsByTopic(topic)));
    }
  }

  async #look({ documentId, missed }: Look): Promise<void> {
    const topic = documentTopic(documentId);
    try {
      const present = namesOf(await this.sse.groupsOf(topic));
      const told = this.#told.get(topic) ?? [];
      const joined = present.filter((user) => !told.includes(user));
      const away = told.filter((user) => !present.includes(user));
      const left = away.filter((user) => missed.includes(user));
      const viewers = union(told, joined).filter((user) => !left.includes(user));
      for (const user of joined) await this.sse.publish(topic, 'joined', { user, viewers });
      for (const user of left) await this.sse.publish(topic, 'left', { user, viewers });
      // It comes back from the log, perhaps behind the next look.
      this.#told.set(topic, viewers);
      if (away.length > left.length) this.#missed.next({ documentId, missed: away });
    } catch {
      // The broker is away, or the hub is shutting down: the next look will tell.
    }
  }
}

function documentOf({ metadata }: SSEClient): string | undefined {
  const { documentId } = metadata;
  return typeof documentId === 'string' ? documentId : undefined;
}

function namesOf(viewers: readonly { readonly metadata?: Record<string, unknown> }[]): string[] {
  return viewers.map(({ metadata }) => String(metadata?.['user']));
}

function union(some: readonly string[], more: readonly string[]): string[] {
  return [...new Set([...some, ...more])].toSorted();
}
