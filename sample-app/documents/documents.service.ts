import { ForbiddenException, Injectable, NotFoundException } from '@nestjs/common';

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

@Injectable()
export class DocumentsService {
  readonly #documents = new Map<string, StoredDocument>([
    ['handbook', { title: 'Handbook', readers: [42, 7], version: 1, text: 'Streams end. Readers come back.' }],
    ['roadmap', { title: 'Roadmap', readers: [42], version: 1, text: 'One node first, then many.' }],
    ['letters', { title: 'Letters', readers: [7], version: 1, text: 'Dear Ada,' }],
  ]);

  listFor(user: DemoUser): { id: string; title: string }[] {
    return [...this.#documents]
      .filter(([, { readers }]) => readers.includes(user.id))
      .map(([id, { title }]) => ({ id, title }));
  }

  read(id: string, user: DemoUser): Content {
    const { title, text, version } = this.#find(id, user);
    return { title, text, version };
  }

  write(id: string, text: string, user: DemoUser): Content {
    const document = this.#find(id, user);
    this.#documents.set(id, { ...document, text, version: document.version + 1 });
    return this.read(id, user);
  }

  #find(id: string, user: DemoUser): StoredDocument {
    const document = this.#documents.get(id);
    if (!document) throw new NotFoundException('There is no such document.');
    if (!document.readers.includes(user.id)) throw new ForbiddenException('This document is not for you.');
    return document;
  }
}
