import { Controller, Get, Header, NotFoundException, Req, type StreamableFile } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';

import { PUBLIC_FOLDER } from '../paths.js';
import { serveFile, servedFiles } from './files.js';

const OWN_FILES_ONLY = "default-src 'self'; img-src 'self' data:";

/** One route for each file that was there at the start. */
const FILES = servedFiles(PUBLIC_FOLDER);

@Controller()
@ApiExcludeController()
export class PageController {
  @Get()
  @Header('Content-Security-Policy', OWN_FILES_ONLY)
  index(): Promise<StreamableFile> {
    return serveFile(PUBLIC_FOLDER, 'index.html');
  }

  @Get(FILES)
  @Header('Content-Security-Policy', OWN_FILES_ONLY)
  file(@Req() { url }: { url: string }): Promise<StreamableFile> {
    const path = new URL(url, 'http://localhost').pathname.slice(1);
    // Express takes "/app.js/" for "/app.js".
    if (!FILES.includes(path)) throw new NotFoundException('There is no such file.');
    return serveFile(PUBLIC_FOLDER, path);
  }
}
