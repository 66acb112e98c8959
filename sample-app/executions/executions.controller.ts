import { Body, Controller, Delete, Get, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { type ClientOptions, EventStream } from 'nestjs-sse-hub';

import { CurrentUser } from '../users/current-user.decorator.js';
import { DemoUserGuard } from '../users/demo-user.guard.js';
import { type DemoUser, userTopic } from '../users/demo-users.js';
import { requireText } from '../validate.js';
import { type Execution, ExecutionsService, executionTopic } from './executions.service.js';
import { resolveProjectFolder } from './project-folder.js';

@Controller('executions')
@UseGuards(DemoUserGuard)
export class ExecutionsController {
  constructor(private readonly executions: ExecutionsService) {}

  @Get()
  list(): Execution[] {
    return this.executions.list();
  }

  @Post()
  @HttpCode(202)
  async start(@Body('folder') value: unknown): Promise<Execution> {
    const folder = requireText(value, 'folder', 200);
    return this.executions.start(folder, await resolveProjectFolder(folder));
  }

  @EventStream(':id/events')
  async events(@CurrentUser() user: DemoUser, @Param('id') id: string): Promise<ClientOptions> {
    // On every request: a last event ID says where somebody wants to go on, and nothing about what they may see.
    await this.executions.assertKnown(id);
    return {
      topics: executionTopic(id),
      // All of it, however late the viewer comes.
      from: 0,
      group: userTopic(user),
      metadata: { user: user.name },
    };
  }

  /** On whichever node it is. One that is over stays as it is. */
  @Delete(':id')
  @HttpCode(204)
  async stop(@CurrentUser() user: DemoUser, @Param('id') id: string): Promise<void> {
    await this.executions.assertKnown(id);
    this.executions.stop(id, `stopped by ${user.name}`);
  }
}
