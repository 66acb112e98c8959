import { Body, Controller, Delete, Get, HttpCode, Post, UseGuards } from '@nestjs/common';
import { type ClientOptions, EventStream } from 'nestjs-sse-hub';

import { DemoUserGuard } from '../users/demo-user.guard.js';
import { requireInteger } from '../validate.js';
import { LOAD_TOPIC, LoadService, type LoadState } from './load.service.js';

/** For a demonstration only: nobody else wants a route that opens two thousand streams. */
@Controller('load')
@UseGuards(DemoUserGuard)
export class LoadController {
  constructor(private readonly load: LoadService) {}

  /** Without a group, whose limit is for the windows of one user. */
  @EventStream('events')
  events(): ClientOptions {
    return { topics: LOAD_TOPIC, metadata: { user: 'load' } };
  }

  @Get()
  state(): LoadState {
    return this.load.state();
  }

  @Post()
  @HttpCode(202)
  start(@Body('clients') clients: unknown, @Body('rate') rate: unknown): LoadState {
    return this.load.start(requireInteger(clients, 'clients', 1, 2_000), requireInteger(rate, 'rate', 1, 50));
  }

  @Delete()
  @HttpCode(204)
  stop(): void {
    this.load.stop();
  }
}
