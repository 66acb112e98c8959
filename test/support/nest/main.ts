import 'reflect-metadata';

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { INestApplication, LoggerService, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SSEService } from 'nestjs-sse-hub';

/** A module that this program can serve. */
export interface Application {
  readonly module: Type<unknown>;
  readonly prepare?: (app: INestApplication) => void;
}

interface Running {
  readonly app: INestApplication;
  readonly sse: SSEService;
}

/** Whose lines tests look at: the hubs', and those of what logs requests. */
const OF_INTEREST = new Set<unknown>(['SSEService', 'http']);

/** Nest has one logger in a process, whichever application has set it. */
const lines: { readonly level: string; readonly text: string }[] = [];

function level(name: string) {
  return (text: unknown, ...rest: unknown[]): void => {
    if (OF_INTEREST.has(rest.at(-1))) lines.push({ level: name, text: String(text) });
  };
}

const logger: LoggerService = { log: level('log'), warn: level('warn'), error: level('error') };

async function start(platform: string, { module, prepare }: Application): Promise<Running> {
  const app =
    platform === 'Fastify'
      ? await NestFactory.create(module, new FastifyAdapter(), { logger })
      : await NestFactory.create(module, { logger });
  prepare?.(app);
  await app.listen(0, '127.0.0.1');
  return { app, sse: app.get(SSEService) };
}

const { application } = (await import(`./${process.argv[2]}.js`)) as { application: () => Application };
const running: Record<string, Running> = {};
for (const platform of ['Express', 'Fastify']) running[platform] = await start(platform, application());

const actions: Record<string, (running: Running, query: URLSearchParams) => unknown> = {
  broadcast: ({ sse }, query) => {
    const padding = 'x'.repeat(Number(query.get('size')));
    for (let n = 1; n <= Number(query.get('count')); n++) sse.broadcast(query.get('topic')!, 'n', { n, padding });
  },
  stats: ({ sse }) => sse.stats(),
  logged: () => lines.splice(0),
  close: ({ app }) => app.close(),
};

const control = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url!, 'http://localhost');
  const act = async (): Promise<unknown> =>
    (await actions[pathname.slice(1)]!(running[searchParams.get('platform')!]!, searchParams)) ?? null;
  act().then(
    (result) => response.end(JSON.stringify(result)),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
}).listen(0, '127.0.0.1', () => {
  const ports = Object.fromEntries(
    Object.entries(running).map(([platform, { app }]) => [
      platform,
      (app.getHttpServer().address() as AddressInfo).port,
    ]),
  );
  process.send!({ control: (control.address() as AddressInfo).port, ports });
});

process.once('disconnect', () => process.exit());
