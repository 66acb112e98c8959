import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { Controller, Get, Header, NotFoundException, Param, type StreamableFile } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';

import { CLIENT_FOLDER, PACKAGES_FOLDER } from '../paths.js';
import { serveFile, servedFiles } from './files.js';

const UPLOT = join(PACKAGES_FOLDER, 'uplot', 'dist');

/** What the page is made with. Nothing of it comes from elsewhere, so the sample works without a network. */
@Controller('vendor')
@ApiExcludeController()
export class VendorController {
  @Get('uplot.js')
  chart(): Promise<StreamableFile> {
    return serveFile(UPLOT, 'uPlot.esm.js');
  }

  @Get('uplot.css')
  chartStyle(): Promise<StreamableFile> {
    return serveFile(UPLOT, 'uPlot.min.css');
  }

  @Get('sse-client.js')
  @Header('Content-Type', 'text/javascript; charset=utf-8')
  client(): string {
    this.#find('index.js');
    // Its own files import each other beside it.
    return "export * from './client/index.js';\n";
  }

  @Get('client/:file')
  clientFile(@Param('file') file: string): Promise<StreamableFile> {
    return serveFile(CLIENT_FOLDER, this.#find(file));
  }

  #find(file: string): string {
    if (existsSync(CLIENT_FOLDER) && servedFiles(CLIENT_FOLDER).includes(file)) return file;
    throw new NotFoundException(
      `The client of nestjs-sse-hub has no ${file} in dist/client: build it with "npm run build".`,
    );
  }
}
