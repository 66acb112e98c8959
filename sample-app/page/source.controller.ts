import { Controller, Get, NotFoundException, Param, UseGuards } from '@nestjs/common';

import { DemoUserGuard } from '../users/demo-user.guard.js';
import { cutOut, type SourcePart } from './source-part.js';

/** What makes each panel of the page: files, and what of them. */
const PANELS = new Map<string, readonly (readonly [file: string, name: string])[]>([
  [
    'survive',
    [
      ['survival/flow.service.ts', 'publish'],
      ['survival/plain.controller.ts', 'plain'],
      ['survival/survival.service.ts', 'drain'],
    ],
  ],
  [
    'chat',
    [
      ['chat/chat.controller.ts', 'follow'],
      ['chat/chat.controller.ts', 'allOf'],
      ['chat/chat.service.ts', 'stop'],
    ],
  ],
  [
    'notifications',
    [
      ['notifications/notifications.controller.ts', 'events'],
      ['notifications/notifications.service.ts', 'create'],
    ],
  ],
  [
    'dashboard',
    [
      ['dashboard/dashboard.controller.ts', 'events'],
      ['dashboard/dashboard.service.ts', '#publish'],
    ],
  ],
  [
    'document',
    [
      ['documents/documents.controller.ts', 'events'],
      ['documents/documents.controller.ts', '#exceptAuthor'],
    ],
  ],
  [
    'job',
    [
      ['executions/executions.controller.ts', 'events'],
      ['executions/executions.service.ts', 'stop'],
    ],
  ],
  [
    'load',
    [
      ['load/load.controller.ts', 'events'],
      ['load/load.service.ts', '#tell'],
    ],
  ],
  [
    'admin',
    [
      ['admin/connections.service.ts', 'onModuleInit'],
      ['admin/connections.service.ts', 'disconnect'],
    ],
  ],
]);

@Controller('source')
@UseGuards(DemoUserGuard)
export class SourceController {
  @Get(':panel')
  async read(@Param('panel') panel: string): Promise<{ panel: string; parts: SourcePart[] }> {
    const places = PANELS.get(panel);
    if (!places) throw new NotFoundException(`The page has the panels ${[...PANELS.keys()].join(', ')}.`);
    return { panel, parts: await Promise.all(places.map(([file, name]) => cutOut(file, name))) };
  }
}
