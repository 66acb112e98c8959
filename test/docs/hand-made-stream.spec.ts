import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Type } from '@nestjs/common';

import { returnToBaseline } from '../support/baseline.js';
import { PATIENCE } from '../support/patience.js';
import { platforms } from '../support/platforms.js';
import { codeShownIn, ShownModules } from '../support/shown-code.js';

/** The page on hand-made streams, run: what it begins with loses an event, and what it ends with does not. */

const PAGE = 'docs/about/coming-from-a-hand-made-stream.md';

/** What the page takes from the application around it. */
const AUTH = `
  import { createParamDecorator } from '@nestjs/common';
  export class AuthGuard { canActivate() { return true; } }
  export const CurrentUser = createParamDecorator(() => ({ id: 42 }));
`;

interface Versions {
  readonly before: string;
  readonly after: string;
}

/** Two versions of a program: the page shows the controller once, because it stays. */
async function versionsOf(service: string): Promise<Versions> {
  const shown = await codeShownIn(PAGE);
  const [before, after] = shown.filter((code) => code.includes(`export class ${service} `));
  const declaration = new RegExp(`^@Injectable\\(\\)\\nexport class ${service} .*?^}$`, 'ms');
  const [changed] = declaration.exec(after ?? '') ?? [];
  if (before === undefined || changed === undefined) throw new Error(`The page shows no two versions of ${service}.`);
  return { before, after: `import { SSEService } from 'nestjs-sse-hub';\n${before.replace(declaration, changed)}` };
}

interface Outcome {
  readonly arrived: unknown[];
  /** Although a client is there. */
  readonly closes: boolean;
}

const bench = returnToBaseline();
const express = platforms.find(({ name }) => name === 'Express')!;
let modules: ShownModules;

beforeAll(async () => {
  modules = await ShownModules.create();
  await modules.load('auth', AUTH);
});

afterAll(() => modules.remove());

describe.each([
  { service: 'UserEvents', controller: 'MeController', path: '/me/events', publish: { method: 'emit', to: [42] } },
  { service: 'Feed', controller: 'FeedController', path: '/feed', publish: { method: 'send', to: [] } },
])('$service of the page', ({ service, controller, path, publish }) => {
  async function outcomeOf(version: keyof Versions): Promise<Outcome> {
    const shown = await modules.load(`${service}-${version}`, (await versionsOf(service))[version]);
    const [provider, route] = [shown[service], shown[controller]] as [Type<unknown>, Type<unknown>];
    const imported = { module: class {}, providers: [provider], controllers: [route] };
    const { app, url } = await bench.start(express, { imports: [imported] });
    const events = app.get(provider) as Record<string, (...args: unknown[]) => void>;
    const send = (n: number): void => events[publish.method]!(...publish.to, 'n', { n });

    const first = await bench.open(url + path);
    send(1);
    await first.messagesUpTo(1);
    (app.getHttpServer() as Server).closeAllConnections();
    await first.untilEnd();
    send(2);
    const again = await bench.open(url + path, { lastEventId: first.lastEventId });
    send(3);
    await again.until(() => again.raw.includes('{"n":3}'));

    let closes = false;
    const closing = app.close().then(() => (closes = true));
    // The one that does not close has to be waited for; the other may be slow on a busy machine.
    await Promise.race([closing, delay(version === 'before' ? 1_000 : PATIENCE, undefined, { ref: false })]);
    const outcome = { arrived: [...first.data, ...again.data], closes };
    again.close();
    await closing;
    return outcome;
  }

  it('loses what is published while nobody is connected, and keeps its server from closing', async () => {
    expect(await outcomeOf('before')).toEqual({ arrived: [{ n: 1 }, { n: 3 }], closes: false });
  });

  it('loses nothing any more, and closes', async () => {
    expect(await outcomeOf('after')).toEqual({ arrived: [{ n: 1 }, { n: 2 }, { n: 3 }], closes: true });
  });
});
