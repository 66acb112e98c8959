import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { type ConnectionChange, type SSEClient, SSEService } from 'nestjs-sse-hub';
import { concatMap, filter, type Subscription } from 'rxjs';

import { DEMO_USERS, type DemoUser, userTopic } from '../users/demo-users.js';
import { documentTopic } from './documents.service.js';

/** What the streams of documents carry as `metadata`. */
export interface Viewing {
  readonly user: string;
  readonly documentId: string;
}

interface Events {
  [document: `document:${string}`]: Record<'joined' | 'left', { user: string; viewers: string[] }>;
}

/**
 * The streams of one user that show one document. Nothing is published there: whoever follows it can be counted, on all
 * nodes.
 */
export function viewerTopic(documentId: string, { id }: DemoUser): `document:${string}` {
  return `${documentTopic(documentId)}:viewer:${id}`;
}

/**
 * The id of a stream. A tab that comes back is the same client, so that what was not for its author is not replayed to
 * it either.
 */
export function viewerId(documentId: string, user: DemoUser, tab: unknown): { id?: string } {
  const isName = typeof tab === 'string' && /^[\w-]{1,64}$/.test(tab);
  return isName ? { id: `${userTopic(user)}:${documentId}:${tab}` } : {};
}

/** Tells the viewers of a document who comes and goes. */
@Injectable()
export class DocumentViewers implements OnModuleInit, OnModuleDestroy {
  #subscription: Subscription | undefined;

  constructor(private readonly sse: SSEService<Events>) {}

  onModuleInit(): void {
    this.#subscription = this.sse.connections
      .pipe(
        filter(({ reason }) => reason !== 'shutdown'),
        concatMap((change) => this.#announce(change)),
      )
      .subscribe();
  }

  onModuleDestroy(): void {
    this.#subscription?.unsubscribe();
  }

  /** Their names, each once however many streams they have open, on whichever node. What is said of others may be a second old. */
  async of(documentId: string): Promise<string[]> {
    const counts = await Promise.all(DEMO_USERS.map((user) => this.#countStreams(viewerTopic(documentId, user))));
    return DEMO_USERS.filter((_, i) => counts[i]! > 0).map(({ name }) => name);
  }

  async #countStreams(topic: `document:${string}`): Promise<number> {
    try {
      return await this.sse.countClients(topic);
    } catch {
      // The broker is away: then those of this node.
      return this.sse.getClientCount(topic);
    }
  }

  async #announce({ type, client }: ConnectionChange): Promise<void> {
    const viewing = viewingOf(client);
    if (!viewing) return;
    const { user, documentId } = viewing;
    const viewers = await this.of(documentId);
    try {
      this.sse.broadcast(documentTopic(documentId), type === 'connect' ? 'joined' : 'left', { user, viewers });
    } catch {
      // The hub is shutting down by now: nobody is left to hear it.
    }
  }
}

function viewingOf({ metadata }: SSEClient): Viewing | undefined {
  const { user, documentId } = metadata;
  return typeof user === 'string' && typeof documentId === 'string' ? { user, documentId } : undefined;
}
