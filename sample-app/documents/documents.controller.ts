import { Body, Controller, Get, Param, Post, UseGuards } from '@nestjs/common';
import { type BroadcastOptions, SSEService } from 'nestjs-sse-hub';

import { CurrentUser } from '../users/current-user.decorator.js';
import { DemoUserGuard } from '../users/demo-user.guard.js';
import { type DemoUser, userTopic } from '../users/demo-users.js';
import { requireText } from '../validate.js';
import { documentTopic, DocumentViewers } from './document-viewers.js';
import { type Content, DocumentsService } from './documents.service.js';

interface Events {
  edit: Content & { author: string };
}

@Controller('documents')
@UseGuards(DemoUserGuard)
export class DocumentsController {
  constructor(
    private readonly documents: DocumentsService,
    private readonly viewers: DocumentViewers,
    private readonly sse: SSEService<Events>,
  ) {}

  @Get()
  list(@CurrentUser() user: DemoUser): { id: string; title: string }[] {
    return this.documents.listFor(user);
  }

  /** A web-standard response, as in any `fetch`-style server. */
  @Get(':id/events')
  events(@CurrentUser() user: DemoUser, @Param('id') id: string): Response {
    // Asked before the stream begins: whoever may not read it gets a 403, and an EventSource stays away.
    this.documents.read(id, user);
    const { response } = this.sse.addClient({
      topics: documentTopic(id),
      group: viewerGroup(user),
      initial: () => ({
        event: 'document',
        data: { ...this.documents.read(id, user), viewers: this.viewers.of(id) },
      }),
      onGap: 'latest',
      metadata: { user: user.name, documentId: id },
    });
    return response;
  }

  /** To everyone but the author; the last one to write wins. */
  @Post(':id/edits')
  edit(
    @CurrentUser() user: DemoUser,
    @Param('id') id: string,
    @Body('text') text: unknown,
    @Body('clientId') clientId?: unknown,
  ): Content {
    const content = this.documents.write(id, requireText(text, 'text', 2_000), user);
    const edit = { ...content, author: user.name };
    this.sse.broadcast(documentTopic(id), 'edit', edit, undefined, this.#exceptAuthor(user, clientId));
    return content;
  }

  // The author's other tabs want the edit too, so a page says which stream is its own. It is believed of its own only.
  #exceptAuthor(user: DemoUser, clientId: unknown): BroadcastOptions {
    const group = viewerGroup(user);
    const client = typeof clientId === 'string' ? this.sse.getClient(clientId) : undefined;
    return client?.group === group ? { except: client.id } : { exceptGroup: group };
  }
}

// Not the group of the notifications: with five tabs of either, nobody loses a tab of the other.
function viewerGroup(user: DemoUser): string {
  return `${userTopic(user)}:documents`;
}
