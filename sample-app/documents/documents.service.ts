import { ForbiddenException, Injectable, NotFoundException } from '@nestjs/common';
import { type BroadcastOptions, SSEService } from 'nestjs-sse-hub';

import type { DemoUser } from '../users/demo-users.js';

export interface Content {
  readonly title: string;
  readonly text: string;
  readonly version: number;
}

interface StoredDocument extends Content {
  /** The users who may see it. */
  readonly readers: readonly number[];
}

interface Events {
  [document: `document:${string}`]: { edit: Content & { author: string; tab?: string } };
}

export function documentTopic(id: string): `document:${string}` {
  return `document:${id}`;
}

/**
 * The log puts edits in order: every node has the text of the last one that it has read. A node that starts later begins
 * with what the log retains.
 */
@Injectable()
export class DocumentsService {
  readonly #documents = new Map<string, StoredDocument>([
    ['handbook', { title: 'Handbook', readers: [42, 7], version: 1, text: 'Streams end. Readers come back.' }],
    ['roadmap', { title: 'Roadmap', readers: [42], version: 1, text: 'One node first, then many.' }],
    ['letters', { title: 'Letters', readers: [7], version: 1, text: 'Dear Ada,' }],
  ]);

  constructor(private readonly sse: SSEService<Events>) {
    for (const id of this.#documents.keys()) {
      sse.observe(documentTopic(id), { since: 0 }).subscribe(({ event, data: { text, version } }) => {
        const document = this.#documents.get(id);
        if (event === 'edit' && document) this.#documents.set(id, { ...document, text, version });
      });
    }
  }

  listFor(user: DemoUser): { id: string; title: string }[] {
    return [...this.#documents]
      .filter(([, { readers }]) => readers.includes(user.id))
      .map(([id, { title }]) => ({ id, title }));
  }

  read(id: string, user: DemoUser): Content {
    const { title, text, version } = this.#find(id, user);
    return { title, text, version };
  }

  write(id: string, text: string, user: DemoUser, options: BroadcastOptions, tab?: string): Content {
    const { title, version } = this.#find(id, user);
    const content = { title, text, version: version + 1 };
    const edit = { ...content, author: user.name, ...(tab !== undefined && { tab }) };
    this.sse.broadcast(documentTopic(id), 'edit', edit, undefined, options);
    return content;
  }

  #find(id: string, user: DemoUser): StoredDocument {
    const document = this.#documents.get(id);
    if (!document) throw new NotFoundException('There is no such document.');
    if (!document.readers.includes(user.id)) throw new ForbiddenException('This document is not for you.');
    return document;
  }
}
