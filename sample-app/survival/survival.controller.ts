import { Body, Controller, Get, HttpCode, Post, Query, UseGuards } from '@nestjs/common';

import { DemoUserGuard } from '../users/demo-user.guard.js';
import { requireInteger, requireName } from '../validate.js';
import { SurvivalService, type SurvivalState } from './survival.service.js';

/** For a demonstration only: whoever can reach these can break every stream. */
@Controller('survive')
@UseGuards(DemoUserGuard)
export class SurvivalController {
  constructor(private readonly survival: SurvivalService) {}

  @Get('state')
  state(): SurvivalState {
    return this.survival.state();
  }

  @Post('cut')
  @HttpCode(204)
  cut(@Query('tab') tab: unknown): void {
    this.survival.cut(requireName(tab, 'tab'));
  }

  @Post('offline')
  @HttpCode(204)
  takeOffline(@Query('tab') tab: unknown, @Body('seconds') seconds: unknown): void {
    this.survival.takeOffline(requireName(tab, 'tab'), requireInteger(seconds, 'seconds', 1, 60));
  }

  /** Shorter than `slowTimeout`, after which the hub would give a stream up. */
  @Post('slow')
  @HttpCode(204)
  slowDown(@Query('tab') tab: unknown, @Body('seconds') seconds: unknown): void {
    this.survival.slowDown(requireName(tab, 'tab'), requireInteger(seconds, 'seconds', 1, 20));
  }

  @Post('forget')
  @HttpCode(204)
  forget(@Query('tab') tab: unknown): void {
    this.survival.forget(requireName(tab, 'tab'));
  }

  @Post('drain')
  @HttpCode(200)
  drain(): { ended: number } {
    return { ended: this.survival.drain() };
  }

  @Post('restart')
  @HttpCode(202)
  restart(@Query('tab') tab?: unknown): void {
    this.survival.restart(tab === undefined ? undefined : requireName(tab, 'tab'));
  }

  @Post('kill')
  @HttpCode(202)
  kill(@Query('tab') tab?: unknown): void {
    this.survival.kill(tab === undefined ? undefined : requireName(tab, 'tab'));
  }
}
