import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Controller, Get, Header } from '@nestjs/common';

import { PUBLIC_FOLDER } from '../paths.js';

const OWN_FILES_ONLY = "default-src 'self'; img-src data:";

/** Three files need no module for static files, which would be another one on each platform. */
@Controller()
export class PageController {
  @Get()
  @Header('Content-Type', 'text/html; charset=utf-8')
  @Header('Content-Security-Policy', OWN_FILES_ONLY)
  index(): Promise<string> {
    return readPublic('index.html');
  }

  @Get('style.css')
  @Header('Content-Type', 'text/css; charset=utf-8')
  style(): Promise<string> {
    return readPublic('style.css');
  }

  @Get('app.js')
  @Header('Content-Type', 'text/javascript; charset=utf-8')
  script(): Promise<string> {
    return readPublic('app.js');
  }
}

function readPublic(file: string): Promise<string> {
  return readFile(join(PUBLIC_FOLDER, file), 'utf8');
}
