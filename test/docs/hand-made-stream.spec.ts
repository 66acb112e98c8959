import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Type } from '@nestjs/common';
import { transform } from '@swc/core';

import { returnToBaseline } from '../support/baseline.js';
import { ROOT } from '../support/packed-library.js';
import { PATIENCE } from '../support/patience.js';
import { platforms } from '../support/platforms.js';

/** What docs/about/coming-from-a-hand-made-stream.md shows, run: what it begins with loses an event, what it ends with does not. */

const PAGE = join(ROOT, 'docs/about/coming-from-a-hand-made-stream.md');
const CACHE = join(ROOT, 'node_modules/.cache/nestjs-sse-hub');

/** What the page takes from the application around it. */
const AUTH = `
  import { createParamDecorator } from '@nestjs/common';
  export class AuthGuard { canActivate() { return true; } }
  export const CurrentUser = createParamDecorator(() => ({ id: 42 }));
`;

type Module = Readonly<Record<string, Type<unknown>>>;

interface Shown {
  readonly before: string;
  readonly after: string;
}

/** Two versions of a program: the page shows the controller once, because it stays. */
function versionsOf(service: string, page: string): Shown {
  const blocks = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = '']) => code);
  const [before, after] = blocks.filter((code) => code.includes(`export class ${service} `));
  const declaration = new RegExp(`^@Injectable\\(\\)\\nexport class ${service} .*?^}$`, 'ms');
  const [changed] = declaration.exec(after ?? '') ?? [];
  if (before === undefined || changed === undefined) throw new Error(`The page shows no two versions of ${service}.`);
  return { before, after: `import { SSEService } from 'nestjs-sse-hub';\n${before.replace(declaration, changed)}` };
}

async function compile(code: string): Promise<string> {
  const result = await transform(code, {
    swcrc: false,
    jsc: {
      target: 'es2023',
      parser: { syntax: 'typescript', decorators: true },
      transform: { legacyDecorator: true, decoratorMetadata: true },
    },
    module: { type: 'es6' },
  });
  return result.code;
}

const bench = returnToBaseline();
const express = platforms.find(({ name }) => name === 'Express')!;

let folder = '';
let page = '';

beforeAll(async () => {
  await mkdir(CACHE, { recursive: true });
  folder = await mkdtemp(join(CACHE, 'hand-made-'));
  page = await readFile(PAGE, 'utf8');
  await writeFile(join(folder, 'auth.mjs'), AUTH);
});

afterAll(() => rm(folder, { recursive: true }));

interface Outcome {
  readonly arrived: unknown[];
  /** Although a client is there. */
  readonly closes: boolean;
}

describe.each([
  { service: 'UserEvents', controller: 'MeController', path: '/me/events', publish: { method: 'emit', to: [42] } },
  { service: 'Feed', controller: 'FeedController', path: '/feed', publish: { method: 'send', to: [] } },
])('$service of the page', ({ service, controller, path, publish }) => {
  async function outcomeOf(version: keyof Shown): Promise<Outcome> {
    const file = join(folder, `${service}-${version}.mjs`);
    await writeFile(file, await compile(versionsOf(service, page)[version]));
    const module = (await import(file)) as Module;
    const [provider, route] = [module[service]!, module[controller]!];
    const imported = { module: class {}, providers: [provider], controllers: [route] };
    const { app, url } = await bench.start(express, { imports: [imported] });
    const events = app.get(provider) as Record<string, (...args: unknown[]) => void>;
    const send = (n: number): void => events[publish.method]!(...publish.to, 'n', { n });
    const server = app.getHttpServer() as Server;

    const first = await bench.open(url + path);
    send(1);
    await first.messagesUpTo(1);
    server.closeAllConnections();
    await first.untilEnd();
    send(2);
    const again = await bench.open(url + path, { lastEventId: first.lastEventId });
    send(3);
    await again.until(() => again.raw.includes('{"n":3}'));

    let closed = false;
    const closing = app.close().then(() => (closed = true));
    // The one that does not close has to be waited for; the other may be slow on a busy machine.
    await Promise.race([closing, delay(version === 'before' ? 1_000 : PATIENCE, undefined, { ref: false })]);
    const closes = closed;
    again.close();
    await closing;
    return { arrived: [...first.data, ...again.data], closes };
  }

  it('loses what is published while nobody is connected, and keeps its server from closing', async () => {
    expect(await outcomeOf('before')).toEqual({ arrived: [{ n: 1 }, { n: 3 }], closes: false });
  });

  it('loses nothing any more, and closes', async () => {
    expect(await outcomeOf('after')).toEqual({ arrived: [{ n: 1 }, { n: 2 }, { n: 3 }], closes: true });
  });
});
