import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { type ConnectionChange, type SSEClient, SSEService } from 'nestjs-sse-hub';
import type { Subscription } from 'rxjs';

/** What the streams of documents carry as `metadata`. */
export interface Viewing {
  readonly user: string;
  readonly documentId: string;
}

interface Events {
  joined: { user: string; viewers: string[] };
  left: { user: string; viewers: string[] };
}

export function documentTopic(id: string): string {
  return `document:${id}`;
}

/** Tells the viewers of a document who comes and goes. */
@Injectable()
export class DocumentViewers implements OnModuleInit, OnModuleDestroy {
  #subscription: Subscription | undefined;

  constructor(private readonly sse: SSEService<Events>) {}

  onModuleInit(): void {
    this.#subscription = this.sse.connections.subscribe((change) => this.#announce(change));
  }

  onModuleDestroy(): void {
    this.#subscription?.unsubscribe();
  }

  /** Their names, each once however many streams they have open. */
  of(documentId: string): string[] {
    const viewings = this.sse.getClientsByTopic(documentTopic(documentId)).map(viewingOf);
    return [...new Set(viewings.flatMap((viewing) => viewing?.user ?? []))];
  }

  #announce({ type, client, reason }: ConnectionChange): void {
    const viewing = viewingOf(client);
    // At shutdown everybody leaves, and nobody is left to hear it.
    if (!viewing || reason === 'shutdown') return;
    const { user, documentId } = viewing;
    const event = type === 'connect' ? 'joined' : 'left';
    this.sse.broadcast(documentTopic(documentId), event, { user, viewers: this.of(documentId) });
  }
}

function viewingOf({ metadata }: SSEClient): Viewing | undefined {
  const { user, documentId } = metadata;
  return typeof user === 'string' && typeof documentId === 'string' ? { user, documentId } : undefined;
}
