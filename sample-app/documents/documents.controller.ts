import { Body, Controller, Get, Param, Post, Query, UseGuards } from '@nestjs/common';
import { type BroadcastOptions, type ClientOptions, EventStream, SSEService } from 'nestjs-sse-hub';

import { CurrentUser } from '../users/current-user.decorator.js';
import { DemoUserGuard } from '../users/demo-user.guard.js';
import { type DemoUser, userTopic } from '../users/demo-users.js';
import { isName, requireText } from '../validate.js';
import { DocumentViewers, viewerId } from './document-viewers.js';
import { type Content, DocumentsService, documentTopic } from './documents.service.js';

@Controller('documents')
@UseGuards(DemoUserGuard)
export class DocumentsController {
  constructor(
    private readonly documents: DocumentsService,
    private readonly viewers: DocumentViewers,
    private readonly sse: SSEService,
  ) {}

  @Get()
  list(@CurrentUser() user: DemoUser): { id: string; title: string }[] {
    return this.documents.listFor(user);
  }

  /** How many streams of it are open, on whichever node. */
  @Get(':id/viewers')
  async countViewers(@CurrentUser() user: DemoUser, @Param('id') id: string): Promise<{ streams: number }> {
    this.documents.read(id, user);
    return { streams: await this.sse.countClients(documentTopic(id)) };
  }

  /** Whoever missed something gets the whole document again, so what is left of the history is of no use. */
  @EventStream(':id/events', { onGap: 'latest' })
  events(@CurrentUser() user: DemoUser, @Param('id') id: string, @Query('tab') tab?: unknown): ClientOptions {
    // Asked before the stream begins: whoever may not read it gets a 403, and an EventSource stays away.
    this.documents.read(id, user);
    return {
      ...viewerId(id, user, tab),
      topics: documentTopic(id),
      group: userTopic(user),
      initial: async () => {
        const viewers = await this.viewers.of(id);
        return { event: 'document', data: { ...this.documents.read(id, user), viewers } };
      },
      metadata: { user: user.name, documentId: id },
    };
  }

  /** To everyone but the author; the last one to write wins. */
  @Post(':id/edits')
  edit(
    @CurrentUser() user: DemoUser,
    @Param('id') id: string,
    @Body('text') text: unknown,
    @Body('clientId') clientId?: unknown,
    @Body('tab') tab?: unknown,
  ): Content {
    // Tabs that share a stream get what any of them has written. Each knows its own by the name that comes back.
    const shared = isName(tab) ? tab : undefined;
    const options = shared === undefined ? this.#exceptAuthor(user, clientId) : {};
    return this.documents.write(id, requireText(text, 'text', 2_000), user, options, shared);
  }

  // The author's other tabs want the edit too, so a page says which stream is its own. It is believed of its own only.
  #exceptAuthor(user: DemoUser, clientId: unknown): BroadcastOptions {
    const group = userTopic(user);
    const client = typeof clientId === 'string' ? this.sse.getClient(clientId) : undefined;
    return client?.group === group ? { except: client.id } : { exceptGroup: group };
  }
}
