import {
  type ArgumentsHost,
  Catch,
  Controller,
  type ExceptionFilter,
  Get,
  type HttpException,
  Inject,
  Logger,
  Module,
  Res,
  Sse,
  VersioningType,
} from '@nestjs/common';
import { APP_GUARD, HttpAdapterHost } from '@nestjs/core';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import compression from 'compression';
import session from 'express-session';
import helmet from 'helmet';
import { EventStream, type NodeResponseLike, SSEModule, SSEService } from 'nestjs-sse-hub';
import { pinoHttp } from 'pino-http';

import type { Application } from './main.js';

@Controller({ path: 'events', version: '1' })
class EventsController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @Sse('stream')
  stream() {
    return this.sse.stream('t');
  }

  @EventStream('followed')
  followed() {
    return 't';
  }

  @Get('direct')
  direct(@Res() response: NodeResponseLike) {
    this.sse.createClient(response, { topics: 't' });
  }
}

@Catch()
class EveryException implements ExceptionFilter {
  constructor(private readonly host: HttpAdapterHost) {}

  catch(error: HttpException, host: ArgumentsHost): void {
    this.host.httpAdapter.reply(host.switchToHttp().getResponse(), { caught: error.message }, error.getStatus());
  }
}

@Module({
  imports: [ThrottlerModule.forRoot([{ ttl: 60_000, limit: 2 }]), SSEModule.forRoot({ heartbeatInterval: 0 })],
  providers: [{ provide: APP_GUARD, useClass: ThrottlerGuard }],
  controllers: [EventsController],
})
class PackagesModule {}

export function application(): Application {
  return {
    module: PackagesModule,
    prepare: (app) => {
      const logger = new Logger('http');
      app.setGlobalPrefix('api');
      app.enableVersioning({ type: VersioningType.URI });
      app.useGlobalFilters(new EveryException(app.get(HttpAdapterHost)));
      app.use(pinoHttp({}, { write: (line: string) => logger.log((JSON.parse(line) as { msg: string }).msg) }));
      app.use(helmet());
      app.use(session({ secret: 'a secret', resave: false, saveUninitialized: true }));
      app.use(compression());
    },
  };
}
