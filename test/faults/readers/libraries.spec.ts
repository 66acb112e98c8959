import { execFile } from 'node:child_process';
import { once } from 'node:events';

import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Inject, Param, Post, Res } from '@nestjs/common';
import type { UIMessageChunk } from 'ai';
import { type ClientOptions, type NodeResponseLike, type SSEModuleOptions, SSEService } from 'nestjs-sse-hub';

import { until } from '../../support/baseline.js';
import { type SeenRequest, watchRequests } from '../../support/network/requests.js';
import { closeAll, platforms, type RunningApp, runningApps, startApp } from '../../support/platforms.js';
import { findProgram } from '../../support/processes/programs.js';
import { browserKinds, PageController, type PageReader, TestBrowser } from '../../support/readers/browsers.js';
import {
  hasNewestReaders,
  newestReader,
  type OpenReader,
  type ReconnectingReader,
  reconnectingReaders,
} from '../../support/readers/reconnecting-readers.js';
import { direct } from '../../support/stream-controllers.js';

/** What docs/guide/readers.md says of a reader, in its words. */
interface Row {
  readonly name: string;
  /** After `sse.end`. */
  readonly finished: string;
  /** After a shutdown, `expiresAt`, … */
  readonly plannedEnd: string;
  readonly plannedCut: string;
  /** Behind an event with an id of the application's. */
  readonly ownId: string;
  readonly ownIdWithoutControlEvents: string;
  readonly finishedWithoutControlEvents: string;
}

const BACK = 'comes back';
const AWAY = 'stays away';
const CURSOR = 'the cursor';
const OWN_ID = 'the id';

const standard: Omit<Row, 'name'> = {
  finished: AWAY,
  plannedEnd: BACK,
  plannedCut: BACK,
  ownId: CURSOR,
  ownIdWithoutControlEvents: CURSOR,
  finishedWithoutControlEvents: AWAY,
};

/** They pass over blocks without data. */
const withoutIdOnly = { ...standard, ownIdWithoutControlEvents: OWN_ID, finishedWithoutControlEvents: BACK };

/** They take an orderly end for the end. */
const endingAtEnd = { ...standard, plannedEnd: AWAY };

const ROWS: readonly Row[] = [
  { name: 'Chromium', ...standard },
  { name: 'Firefox', ...withoutIdOnly },
  { name: 'WebKit', ...withoutIdOnly },
  { name: 'nestjs-sse-hub/client', ...standard },
  { name: 'npm eventsource 4', ...withoutIdOnly },
  { name: 'npm eventsource 5', ...standard },
  { name: "undici's EventSource", ...standard },
  { name: 'eventsource-client', ...withoutIdOnly },
  { name: '@microsoft/fetch-event-source', ...endingAtEnd },
  { name: 'a client that @hey-api/openapi-ts generates', ...endingAtEnd },
];

let running: TestBrowser | undefined;

afterEach(async () => {
  await running?.close();
  running = undefined;
  for (const { app } of runningApps()) (app.getHttpServer() as { closeAllConnections(): void }).closeAllConnections();
  await closeAll();
});

interface Started {
  readonly app: RunningApp;
  readonly requests: readonly SeenRequest[];
}

async function start(options: Omit<ClientOptions, 'topics'>, config: SSEModuleOptions = {}): Promise<Started> {
  let requests: readonly SeenRequest[] = [];
  const app = await startApp(platforms[0]!, {
    config: { retryInterval: 50, retryJitter: 0, ...config },
    controllers: [direct.controller(() => options), PageController],
    prepare: (nest) => {
      requests = watchRequests(nest, '/events/');
    },
  });
  return { app, requests };
}

/** What the reader does in each of these. */
async function rowOf(name: string, openAt: (url: string) => Promise<OpenReader>): Promise<Row> {
  const follow = async (
    options: Omit<ClientOptions, 'topics'>,
    act: (sse: SSEService, reader: OpenReader) => unknown,
  ) => {
    const { app, requests } = await start(options);
    const reader = await openAt(app.url);
    await until(`${name} is there`, () => app.sse.getClientCount() === 1);
    await act(app.sse, reader);
    await until(
      `${name} has come back or given up`,
      () => requests.length > 4 || reader.stopped() || isBack(app, requests),
    );
    const stopped = reader.stopped();
    reader.close();
    return { stopped, lastEventId: requests[1]?.lastEventId };
  };
  const end = (sse: SSEService): void => {
    for (const { id } of sse.getClients()) sse.removeClient(id);
  };
  const wayAfter = ({ stopped }: { stopped: boolean }): string => (stopped ? AWAY : BACK);
  const kindOf = ({ lastEventId }: { lastEventId: string | undefined }): string | undefined => {
    if (lastEventId === 'own') return OWN_ID;
    return lastEventId?.startsWith('1~') ? CURSOR : lastEventId;
  };
  // What a reader built on fetch has not read yet when the connection is cut, it never gets from that one.
  const publishAndEnd = async (sse: SSEService, reader: OpenReader): Promise<void> => {
    await sse.publish('t', 'n', 1, 'own');
    await until(`${name} has it`, () => reader.events() === 1);
    end(sse);
  };
  const finish = (sse: SSEService): void => sse.closeTopic('t');
  return {
    name,
    finished: wayAfter(await follow({}, finish)),
    plannedEnd: wayAfter(await follow({}, end)),
    plannedCut: wayAfter(await follow({ plannedEnd: 'cut' }, end)),
    ownId: kindOf(await follow({ plannedEnd: 'cut' }, publishAndEnd))!,
    ownIdWithoutControlEvents: kindOf(await follow({ plannedEnd: 'cut', controlEvents: false }, publishAndEnd))!,
    finishedWithoutControlEvents: wayAfter(await follow({ controlEvents: false }, finish)),
  };
}

/** A second stream is open, and stays so. */
function isBack({ sse }: RunningApp, requests: readonly SeenRequest[]): boolean {
  return requests.length > 1 && sse.getClientCount() === 1;
}

function rowNamed(name: string): Row {
  return ROWS.find((row) => row.name === name)!;
}

describe('D1: what README says of', () => {
  for (const kind of browserKinds) {
    const readers: (readonly [string, PageReader])[] = [
      [kind.name, 'EventSource'],
      ['nestjs-sse-hub/client', 'client'],
    ];
    if (kind.name === 'Chromium') readers.push(['@microsoft/fetch-event-source', 'fetchEventSource']);
    for (const [name, reader] of readers) {
      it(name === kind.name ? name : `${name} in ${kind.name}`, async () => {
        if (kind.program === undefined) return expect(process.env['CI']).toBeUndefined();
        running = await TestBrowser.launch(kind);
        const browser = running;
        const row = await rowOf(name, async (url) => {
          await browser.visit(url);
          const source = browser.open('/events/t', ['n'], reader);
          const events = (): number => source.reading.messages.filter(({ event }) => event === 'n').length;
          return { stopped: () => source.state === 2, events, close: source.close };
        });
        expect(row).toEqual(rowNamed(name));
      });
    }
  }

  describe('libraries', () => {
    let readers: readonly ReconnectingReader[] = [];

    beforeAll(async () => {
      readers = await reconnectingReaders();
    });

    for (const { name } of ROWS.filter(({ name }) => !/^(Chromium|Firefox|WebKit|@micro)/.test(name))) {
      const isLeftOut = name === 'npm eventsource 5' && !hasNewestReaders;
      (isLeftOut ? it.skip : it)(name, async () => {
        const reader = readers.find((one) => one.name === name)!;
        const row = await rowOf(name, (url) => Promise.resolve(reader.open(`${url}/events/t`)));
        expect(row).toEqual(rowNamed(name));
      });
    }
  });

  it('curl: prints, and comes back when it is asked to, without a last event ID', async () => {
    const curl = findProgram(['curl'], 'apt-get install curl.');
    if (curl === undefined) return expect(process.env['CI']).toBeUndefined();
    const { app, requests } = await start({ plannedEnd: 'cut' });
    const child = execFile(curl, [
      '-sN',
      '--retry',
      '1',
      '--retry-all-errors',
      '--retry-delay',
      '1',
      `${app.url}/events/t`,
    ]);
    for (const times of [1, 2]) {
      await until('it is there', () => requests.length === times && app.sse.getClientCount() === 1);
      for (const { id } of app.sse.getClients()) app.sse.removeClient(id);
    }
    await once(child, 'exit');
    expect(requests.map(({ lastEventId }) => lastEventId)).toEqual([undefined, undefined]);
  });

  const sdks = [
    { version: 6, isLeftOut: false, load: () => import('ai') },
    { version: 7, isLeftOut: !hasNewestReaders, load: () => newestReader<typeof import('ai')>('ai-7') },
  ];
  for (const { version, isLeftOut, load } of sdks) {
    for (const plannedEnd of ['end', 'cut'] as const) {
      const title = `the default transport of the AI SDK ${version}: takes an orderly end for the last word, and fails at a cut: '${plannedEnd}'`;
      (isLeftOut ? it.skip : it)(title, async () => {
        const { DefaultChatTransport } = await load();
        @Controller()
        class ChatController {
          constructor(@Inject(SSEService) private readonly sse: SSEService) {}

          @Post('chat/:topic')
          chat(@Param('topic') topics: string, @Res() response: NodeResponseLike): void {
            this.sse.createClient(response, { topics, plannedEnd, controlEvents: false });
          }
        }
        const { sse, url } = await startApp(platforms[0]!, { controllers: [ChatController] });
        const chat = new DefaultChatTransport({ api: `${url}/chat/t` });
        const sending = chat.sendMessages({
          trigger: 'submit-message',
          chatId: 'c',
          messageId: undefined,
          messages: [],
          abortSignal: undefined,
        });
        await until('it is there', () => sse.getClientCount() === 1);
        sse.broadcast({ topic: 't', data: { type: 'text-start', id: '1' } });
        const chunks: UIMessageChunk[] = [];
        const read = async (): Promise<string> => {
          for await (const chunk of await sending) chunks.push(chunk);
          return 'over';
        };
        const outcome = read().catch(() => 'failed');
        await until('it has the first', () => chunks.length === 1);
        for (const { id } of sse.getClients()) sse.removeClient(id);
        expect(await outcome).toBe(plannedEnd === 'end' ? 'over' : 'failed');
      });
    }
  }
});
