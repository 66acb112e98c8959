import { setImmediate as turn } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import { SSEService } from 'nestjs-sse-hub';

import { amount } from '../../support/measures/scale.js';
import { closeAll, platforms } from '../../support/platforms.js';
import { randomEvents } from '../../support/random-events.js';
import { readers, type Reading, type SentEvent } from '../../support/readers/readers.js';
import { expectRead, type Opened, send, untilNamed } from '../../support/readers/readings.js';
import { type ReplayServer, startReplay } from '../../support/readers/replay-server.js';
import { connect } from '../../support/refusals.js';
import { integer, seededRandom } from '../../support/seed.js';
import { transports } from '../../support/stream-controllers.js';

const EVENTS = amount(100_000, 25_000);

const readings: Reading[] = [];
let replay: ReplayServer | undefined;

afterEach(async () => {
  for (const reading of readings.splice(0)) reading.close();
  await replay?.close();
  replay = undefined;
  await closeAll();
});

function openReaders(url: string): Opened[] {
  const opened = readers.map((reader) => ({ reader, reading: reader.open(url) }));
  readings.push(...opened.map(({ reading }) => reading));
  return opened;
}

/** Strings that a reader, or a careless encoder, could get wrong. */
const TRICKY_TEXTS = [
  '',
  ' ',
  '  two spaces',
  '\t',
  '\r',
  '\n',
  '\r\n',
  '\n\n\n',
  '\n\r',
  'a\rb',
  'a\r\nb',
  'a\nb\r\nc\rd',
  'trailing\n',
  'trailing\r\n',
  'trailing\n\n',
  '\nleading',
  '\r\n\r\nleading',
  ':',
  ': comment',
  ' : ',
  'data:',
  'data: x',
  'data: x\n\ndata: y\n\n',
  'id: 1\nevent: sse.end\nretry: 1',
  'a\n:b\n\ndata',
  '\ufeff',
  '\ufeffmark first',
  'mark in\ufeffside',
  'a\n\ufeffb',
  '\n\ufeff\nc',
  '\0',
  'nul\0inside',
  '\u0085a\u2028b\u2029c\u000bd\u000ce',
  'Ünïcödé 漢字 😀 e\u0301',
  '42',
  'null',
  '{"not":"parsed"}',
  'x'.repeat(70_000),
  '漢\n'.repeat(20_000),
];

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`Encoding for readers: ${transport.name} on ${platform.name}`, () => {
      it('E4: gives text back through all readers, line ends as LF, except where one of them is known not to', async () => {
        const { sse, url } = await connect(platform, transport);
        const opened = openReaders(`${url}/events/topic`);
        await untilNamed(opened, 'sse.open');
        const sent: SentEvent[] = [];
        for (const data of TRICKY_TEXTS) sent.push(await send(sse, { topic: 'topic', data }));
        for (const event of ['message', ' ', ': ', ' data:', '\ufeffname', 'Ü 😀', '__proto__', '\u2028']) {
          sent.push(await send(sse, { topic: 'topic', event, id: `${event}1`, data: event }));
        }
        sent.push(await send(sse, { topic: 'topic', event: 'end', data: '' }));
        await untilNamed(opened, 'end');
        expectRead(opened, sent);
      });

      it('E9: gives 5,000 random events back through all readers', async () => {
        const { sse, url } = await connect(platform, transport, { maxHistorySize: 10_000 });
        const random = seededRandom(1);
        const opened = openReaders(`${url}/events/topic`);
        await untilNamed(opened, 'sse.open');
        const sent: Promise<SentEvent>[] = [];
        let inThisTurn = 0;
        for (const event of randomEvents(5_000, 'topic', 2)) {
          sent.push(send(sse, event));
          if (--inThisTurn > 0) continue;
          inThisTurn = integer(random, 1, 60);
          await turn();
        }
        sent.push(send(sse, { topic: 'topic', event: 'end', data: '' }));
        await untilNamed(opened, 'end');
        const all = await Promise.all(sent);
        expectRead(opened, all);
        // `sse.open`, and `sse.cursor` behind each event that has an id of its own.
        const owned = all.filter(({ id }) => !id.startsWith('1~')).length;
        const control = opened.map(({ reading }) => reading.events.length - reading.messages.length);
        expect(control).toEqual(readers.map(() => 1 + owned));
      });
    });
  }
}

describe('Encoding', () => {
  it(`E9: gives ${EVENTS} random events back through all readers, however the network cuts them`, async () => {
    const sse = new SSEService({ maxHistorySize: Infinity, maxHistoryBytes: Infinity });
    const body = collect(sse.addClient({ topics: 'topic' }).response);
    const random = seededRandom(3);
    const events = randomEvents(EVENTS, 'topic', 4);
    const sent: SentEvent[] = [];
    for (let at = 0; at < events.length;) {
      const end = at + integer(random, 1, 500);
      sent.push(...(await Promise.all(events.slice(at, end).map((event) => send(sse, event)))));
      await turn();
      at = end;
    }
    sse.closeTopic('topic');
    const bytes = await body;
    await sse.shutdown();

    replay = await startReplay(bytes);
    const opened = openReaders(replay.url);
    await untilNamed(opened, 'sse.end');
    expectRead(opened, sent);
    // Of all of them, the first and fetch-event-source tell of `retry`.
    const { messages, retries } = opened[0]!.reading;
    const wrongValue = events.findIndex(({ data }, i) => {
      return typeof data !== 'string' && JSON.stringify(JSON.parse(messages[i]!.data)) !== JSON.stringify(data);
    });
    expect(wrongValue).toBe(-1);
    expect(retries.slice(1)).toEqual(events.flatMap(({ retry }) => retry ?? []));
  });
});

async function collect(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body!) chunks.push(chunk);
  return Buffer.concat(chunks);
}
