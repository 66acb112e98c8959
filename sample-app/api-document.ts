import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { documentEventStreams } from 'nestjs-sse-hub/swagger';

/** What the application can be asked, at `/api-json`. `page/api-page.controller.ts` shows it. */
export function serveApiDocument(app: INestApplication): void {
  const config = new DocumentBuilder().setTitle('The sample application').setOpenAPIVersion('3.1.0').build();
  const create = () => documentEventStreams(app, () => SwaggerModule.createDocument(app, config));
  SwaggerModule.setup('api', app, create, { ui: false, raw: ['json'] });
}
