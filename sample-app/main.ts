import 'reflect-metadata';

import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';

import { chooseBackplane } from './choose-backplane.js';
import { createApp } from './create-app.js';

const { PLATFORM = 'express', PORT = '3000' } = process.env;

const backplane = await chooseBackplane(process.env);
const app = await createApp(PLATFORM === 'fastify' ? new FastifyAdapter() : new ExpressAdapter(), backplane);
// Streams are ended with a cursor each, so that browsers resume where they were once the application is back.
app.enableShutdownHooks();
await app.listen(PORT);

const { port } = new URL(await app.getUrl());
const platform = app.getHttpAdapter().getType();
console.log(
  `The sample application of nestjs-sse-hub is running on ${platform}, log: ${backplane.kind}. Open http://localhost:${port}`,
);
