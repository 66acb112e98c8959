import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { Controller, Get, NotFoundException, Param, type StreamableFile } from '@nestjs/common';
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

  @Get('client/:file')
  client(@Param('file') file: string): Promise<StreamableFile> {
    if (existsSync(CLIENT_FOLDER) && servedFiles(CLIENT_FOLDER).includes(file)) return serveFile(CLIENT_FOLDER, file);
    throw new NotFoundException(
      `The client of nestjs-sse-hub has no ${file} in dist/client: build it with "npm run build".`,
    );
  }
}
