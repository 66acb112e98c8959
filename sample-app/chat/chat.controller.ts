import { Body, Controller, Delete, HttpCode, Param, Query, UseGuards } from '@nestjs/common';
import { type ClientOptions, EventStream, SSEService } from 'nestjs-sse-hub';

import { CurrentUser } from '../users/current-user.decorator.js';
import { DemoUserGuard } from '../users/demo-user.guard.js';
import { type DemoUser, userTopic } from '../users/demo-users.js';
import { requireName, requireText } from '../validate.js';
import { waitForRun } from '../wait-for-run.js';
import { ChatService, chatTopic, type Part } from './chat.service.js';

@Controller('chat/:id')
@UseGuards(DemoUserGuard)
export class ChatController {
  constructor(
    private readonly chat: ChatService,
    private readonly sse: SSEService,
  ) {}

  /** Asks, and answers with the stream. It need not be read: whoever follows gets the same. */
  @EventStream('', { method: 'POST' })
  async ask(
    @CurrentUser() user: DemoUser,
    @Param('id') id: string,
    @Body('text') text: unknown,
  ): Promise<ClientOptions> {
    await this.chat.ask(user, requireName(id, 'id'), requireText(text, 'text', 500));
    return allOf(user, id);
  }

  /** The last answer, also one that is complete, as long as the log has it. Else it is a 204, and an EventSource stays away. */
  @EventStream()
  async follow(
    @CurrentUser() user: DemoUser,
    @Param('id') id: string,
    @Query('run') run?: unknown,
  ): Promise<ClientOptions | undefined> {
    const topic = chatTopic(user, requireName(id, 'id'));
    const known = await waitForRun(this.sse, topic, typeof run === 'string' ? run : undefined);
    return known && allOf(user, id);
  }

  @Delete()
  @HttpCode(204)
  stop(@CurrentUser() user: DemoUser, @Param('id') id: string): void {
    this.chat.stop(user, requireName(id, 'id'));
  }
}

/** From the question on. */
function allOf(user: DemoUser, id: string): ClientOptions {
  return {
    topics: chatTopic(user, id),
    from: 0,
    merge: joinWords,
    group: userTopic(user),
    metadata: { user: user.name },
  };
}

/** Whoever comes late gets the text so far instead of its words. One function for all, so it is joined once. */
function joinWords(words: readonly Part[]): Part {
  return { text: words.map(({ text }) => text).join('') };
}
