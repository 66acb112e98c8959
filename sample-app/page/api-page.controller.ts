import { join } from 'node:path';

import { Controller, Get, Header, NotFoundException, Param, type StreamableFile } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';

import { PACKAGES_FOLDER } from '../paths.js';
import { serveFile } from './files.js';

const SWAGGER_UI = join(PACKAGES_FOLDER, 'swagger-ui-dist');
const ASSETS = new Set(['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png']);

/** Swagger UI has styles in its elements. */
const OWN_FILES_AND_STYLES = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'";

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>The sample application: its API</title>
    <link rel="icon" href="/api/favicon-32x32.png" />
    <link rel="stylesheet" href="/api/swagger-ui.css" />
    <script defer src="/api/swagger-ui-bundle.js"></script>
    <script defer src="/api/start.js"></script>
  </head>
  <body>
    <div id="api"></div>
  </body>
</html>
`;

const START = "SwaggerUIBundle({ url: '/api-json', domNode: document.getElementById('api') });\n";

/**
 * Swagger UI. `SwaggerModule.setup()` would serve it, too; on Fastify it needs `@fastify/static` for that. It shows a
 * stream when that has ended: try streams with curl.
 */
@Controller('api')
@ApiExcludeController()
export class ApiPageController {
  @Get()
  @Header('Content-Type', 'text/html; charset=utf-8')
  @Header('Content-Security-Policy', OWN_FILES_AND_STYLES)
  page(): string {
    return PAGE;
  }

  @Get('start.js')
  @Header('Content-Type', 'text/javascript; charset=utf-8')
  start(): string {
    return START;
  }

  @Get(':asset')
  asset(@Param('asset') asset: string): Promise<StreamableFile> {
    if (!ASSETS.has(asset)) throw new NotFoundException('There is no such file.');
    return serveFile(SWAGGER_UI, asset);
  }
}
