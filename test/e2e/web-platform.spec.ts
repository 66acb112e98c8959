// The server's half of the cases in web-platform-tests' `eventsource` folder, whose names the tests begin with.
// https://github.com/web-platform-tests/wpt/tree/master/eventsource
import http from 'node:http';

import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Param, Redirect, type Type } from '@nestjs/common';
import { SSEError, type SSEModuleOptions, SSEService } from 'nestjs-sse-hub';

import { until } from '../support/baseline.js';
import { RawConnection } from '../support/network/raw-connection.js';
import { closeAll, platforms, startApp } from '../support/platforms.js';
import { RecordedEventSource } from '../support/readers/event-source.js';
import { type EventStream, open } from '../support/readers/event-stream.js';
import { direct, nestSse } from '../support/stream-controllers.js';

const sources: RecordedEventSource[] = [];

afterEach(async () => {
  for (const source of sources.splice(0)) source.close();
  await closeAll();
});

function listen(url: string): RecordedEventSource {
  const source = new RecordedEventSource(url, ['message', 'n']);
  sources.push(source);
  return source;
}

/** What arrived since `before` characters, without the lines that only move the cursor. */
function linesSince(stream: EventStream, before: number): string[] {
  return stream.raw
    .slice(before)
    .split('\n')
    .filter((line) => !line.startsWith('id: '));
}

@Controller('moved')
class MovedController {
  @Get(':status')
  @Redirect('/events/t')
  moved(@Param('status') status: string): { statusCode: number } {
    return { statusCode: Number(status) };
  }
}

@Controller('answers')
class AnswersController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @Get('not-found')
  notFound(): void {
    this.sse.sendEvent('nobody', { data: 1 });
  }

  @Get('conflict')
  conflict(): void {
    this.sse.closeTopic('over');
    this.sse.broadcast('over', 'n', 1);
  }
}

for (const platform of platforms) {
  for (const transport of [direct, nestSse]) {
    describe(`${transport.name} on ${platform.name}`, () => {
      const start = (config: SSEModuleOptions = {}, controllers: Type<unknown>[] = []) =>
        startApp(platform, {
          config: { retryInterval: 20, retryJitter: 0, ...config },
          controllers: [transport.controller(), ...controllers],
        });

      /** A stream that has had its `sse.open`, and how much has come so far. */
      const connect = async (url: string): Promise<{ stream: EventStream; before: number }> => {
        const stream = await open(`${url}/events/t`);
        await stream.next();
        return { stream, before: stream.raw.length };
      };

      it('event-data, format-newlines: every line end makes a line, and none but LF is written', async () => {
        const { sse, url } = await start();
        const { stream, before } = await connect(url);
        sse.broadcast({ topic: 't', data: 'a\nb\rc\r\nd\n\re' });
        await stream.messagesUpTo(1);
        const lines = ['a', 'b', 'c', 'd', '', 'e'].map((line) => `data: ${line}`);
        expect(linesSince(stream, before)).toEqual([...lines, '', '']);
        expect(stream.raw).not.toContain('\r');
        expect(stream.messages[0]!.data).toBe('a\nb\nc\nd\n\ne');
      });

      it('format-bom, format-bom-2: the stream begins without a byte order mark, and one in the data stays', async () => {
        const { sse, url } = await start();
        const connection = await RawConnection.open(url);
        connection.get('/events/t');
        await connection.until(() => connection.text.includes('event: sse.open'));
        sse.broadcast({ topic: 't', data: '\ufeffdata:x' });
        const mark = Buffer.from('\ufeff').toString('latin1');
        await connection.until(() => connection.text.includes(`data: ${mark}data:x\n`));
        expect(connection.text.split(mark)).toHaveLength(2);
        connection.close();
      });

      it('format-comments: a comment of any length dispatches nothing', async () => {
        const { sse, url } = await start();
        const source = listen(`${url}/events/t`);
        await source.untilCount('sse.open', 1);
        const comment = `${'long '.repeat(1_000)}\ndata: false\n\ndata: again`;
        sse.broadcast({ topic: 't', data: 1, comment });
        await source.untilCount('message', 1);
        expect(source.data).toEqual([1]);
      });

      it('format-data-before-final-empty-line: a stream that ends, ends with an empty line', async () => {
        const { sse, url } = await start();
        const { stream } = await connect(url);
        sse.broadcast('t', 'n', 'last');
        sse.removeClient(sse.getClients()[0]!.id);
        await stream.untilEnd();
        expect(stream.data).toEqual(['last']);
        expect(stream.raw.endsWith('data: last\n\n')).toBe(true);
      });

      it('format-field-data: no data is an event, and a line end alone two empty lines', async () => {
        const { sse, url } = await start();
        const { stream, before } = await connect(url);
        for (const data of ['', '\n', 'end']) sse.broadcast({ topic: 't', data });
        await stream.messagesUpTo(3);
        expect(linesSince(stream, before)).toEqual(['data: ', '', 'data: ', 'data: ', '', 'data: end', '', '']);
        expect(stream.messages.map(({ data }) => data)).toEqual(['', '\n', 'end']);
      });

      it('format-field-event, format-field-event-empty: without a name it is a message, and an empty one is refused', async () => {
        const { sse, url } = await start();
        const { stream } = await connect(url);
        expect(() => sse.broadcast({ topic: 't', event: '', data: 1 })).toThrow(SSEError);
        sse.broadcast({ topic: 't', event: 'test', data: 2 });
        sse.broadcast({ topic: 't', data: 3 });
        await stream.messagesUpTo(2);
        expect(stream.messages.map(({ event, data }) => [event, data])).toEqual([
          ['test', '2'],
          ['message', '3'],
        ]);
      });

      it('format-field-id: an id that is not ASCII comes back as UTF-8, and resumes exactly', async () => {
        const { sse, url } = await start();
        sse.broadcast('t', 'n', 1, '…');
        sse.broadcast('t', 'n', 2, '漢\u{1F600}é');
        sse.broadcast('t', 'n', 3);
        for (const [id, missed] of [
          ['…', [2, 3]],
          ['漢\u{1F600}é', [3]],
        ] as const) {
          // A browser sends the bytes of UTF-8, which Node's client takes one character each.
          const lastEventId = Buffer.from(id).toString('latin1');
          const stream = await open(`${url}/events/t`, { lastEventId });
          expect(JSON.parse((await stream.next()).data)).toMatchObject({ resumed: 'full' });
          expect(await stream.messagesUpTo(missed.length)).toEqual(missed);
          const query = await open(`${url}/events/t?lastEventId=${encodeURIComponent(id)}`);
          expect(await query.messagesUpTo(missed.length)).toEqual(missed);
        }
      });

      it('format-field-id-2, format-field-id-3: every event brings an id, and none is empty', async () => {
        const { sse, url } = await start();
        const { stream } = await connect(url);
        const { id } = sse.getClients()[0]!;
        expect(() => sse.broadcast('t', 'n', 1, '')).toThrow(SSEError);
        sse.broadcast('t', 'n', 1, 'own');
        sse.sendTo(id, 'n', 2);
        sse.sendTo(id, 'n', 3, 'private');
        sse.broadcast('t', 'n', 4);
        await stream.messagesUpTo(4);
        const ids = stream.messages.map(({ lastEventId }) => lastEventId);
        expect([ids[0], ids[2]]).toEqual(['own', 'private']);
        expect(ids.filter((id) => id.startsWith('1~'))).toHaveLength(2);
        expect(stream.raw).not.toMatch(/^id:? *$/m);
      });

      it('format-field-id-null, format-null-character: NUL is refused in an id, and stays in data', async () => {
        const { sse, url } = await start();
        const { stream } = await connect(url);
        expect(() => sse.broadcast('t', 'n', 1, '\0\0')).toThrow(SSEError);
        sse.broadcast('t', 'n', '\0');
        await stream.messagesUpTo(1);
        expect(stream.messages[0]!.data).toBe('\0');
      });

      it('format-field-parsing, format-field-unknown: nothing but the five kinds of line is written', async () => {
        const { sse, url } = await start({ heartbeatInterval: 20 });
        const { stream } = await connect(url);
        for (const data of [' : ', 'data', 'data:data', '\u00a0x', '\u2028data: y']) {
          sse.broadcast({
            topic: 't',
            event: 'n',
            data,
            id: `id of ${data}`.replace('\u2028', ''),
            retry: 7,
            comment: 'c',
          });
        }
        await stream.messagesUpTo(5);
        await stream.until(() => /^:\s*$/m.test(stream.raw));
        expect(stream.raw).toMatch(/^((data|event|id|retry): [^\n]*\n|:[^\n]*\n|\n)*$/);
        expect(stream.messages.map(({ data }) => data)).toEqual([
          ' : ',
          'data',
          'data:data',
          '\u00a0x',
          '\u2028data: y',
        ]);
      });

      it('format-field-retry, -bogus, -empty: retry is digits, and what is not a number of milliseconds is refused', async () => {
        const { sse, url } = await start();
        const { stream } = await connect(url);
        for (const retry of ['3000x', '', '1000', 1e21, -1]) {
          expect(() => sse.broadcast({ topic: 't', data: 1, retry: retry as number })).toThrow(SSEError);
        }
        sse.broadcast({ topic: 't', data: 1, retry: 3_000 });
        await stream.messagesUpTo(1);
        expect(stream.raw.match(/^retry.*$/gm)).toEqual(['retry: 20', 'retry: 3000']);
      });

      it('format-leading-space: a single space is put before a value, so that one of its own stays', async () => {
        const { sse, url } = await start();
        const { stream } = await connect(url);
        for (const data of ['\ttest', ' ', ' test']) sse.broadcast({ topic: 't', data });
        await stream.messagesUpTo(3);
        expect(stream.messages.map(({ data }) => data)).toEqual(['\ttest', ' ', ' test']);
      });

      it('format-mime-*, format-utf-8: text/event-stream, whatever is asked for, in UTF-8', async () => {
        const { sse, url } = await start();
        for (const accept of ['text/event-stream', '*/*', 'text/html', 'x']) {
          const stream = await open(`${url}/events/t`, { headers: { accept } });
          expect(stream.status).toBe(200);
          expect(stream.response.headers['content-type']).toBe('text/event-stream');
          await stream.next();
          sse.broadcast({ topic: 't', data: 'ok…' });
          expect(await stream.messagesUpTo(1)).toEqual(['ok…']);
          stream.close();
        }
      });

      it('request-cache-control: the stream is stored by nobody', async () => {
        const { url } = await start();
        const { stream } = await connect(url);
        expect(stream.response.headers['cache-control']).toMatch(/(^|, )no-store(,|$)/);
        expect(stream.response.headers['cache-control']).toMatch(/(^|, )no-cache(,|$)/);
      });

      it('request-redirect: the last event ID survives a redirect', async () => {
        const { sse, url } = await start({}, [MovedController]);
        for (const status of [301, 302, 303, 307]) {
          const source = listen(`${url}/moved/${status}`);
          await source.untilCount('sse.open', 1);
          sse.broadcast('t', 'n', 1);
          await source.untilCount('n', 1);
          sse.removeClient(sse.getClients()[0]!.id);
          sse.broadcast('t', 'n', 2);
          await source.untilCount('n', 2);
          expect(source.data).toEqual([1, 2]);
          expect(source.count('sse.reset')).toBe(0);
          source.close();
          await until('it has left', () => sse.getClientCount() === 0);
        }
      });

      it('request-status-error: every answer but 200 stops an EventSource', async () => {
        const config: SSEModuleOptions = { maxClients: 1, onLimit: 'reject' };
        const { sse, url } = await start(config, [AnswersController]);
        const holder = await connect(url);
        for (const [path, status] of [
          ['events/t', 503],
          ['events/t?lastEventId=1~end', 204],
          ['events/*', 400],
          ['answers/not-found', 404],
          ['answers/conflict', 409],
        ] as const) {
          const source = listen(`${url}/${path}`);
          await source.untilStopped();
          expect(source.attempts.map(({ status }) => status)).toEqual([status]);
        }
        expect(sse.getClientCount()).toBe(1);
        holder.stream.close();
      });

      it('eventsource-reconnect: a stream that ends is asked for again, with the id that was sent last', async () => {
        const { sse, url } = await start();
        const source = listen(`${url}/events/t`);
        await source.untilCount('sse.open', 1);
        const ids: (string | undefined)[] = [undefined];
        for (const n of [1, 2, 3]) {
          ids.push(await sse.publish('t', 'n', n));
          await source.untilCount('n', n);
          sse.removeClient(sse.getClients()[0]!.id);
          await source.untilCount('sse.open', n + 1);
        }
        expect(source.attempts.map(({ lastEventId }) => lastEventId)).toEqual(ids);
        expect(source.data).toEqual([1, 2, 3]);
      });

      it('eventsource-cross-origin-preflight: no cursor makes a browser ask for permission first', async () => {
        const { sse, url } = await start();
        const { stream } = await connect(url);
        for (const id of [undefined, 'unsafe <"(){}[]:?@\\> id', 'a'.repeat(256)]) sse.broadcast('t', 'n', 1, id);
        await stream.messagesUpTo(3);
        // [fetch] 2.2.2: at most 128 bytes, and none of these. What a browser comes back with is the last id of a write.
        for (const block of [stream.events[0]!.lastEventId, stream.lastEventId]) {
          expect(block).toMatch(/^1~/);
          // oxlint-disable-next-line no-control-regex -- control characters are among the unsafe ones
          expect(block).not.toMatch(/[\u0000-\u0008\u000a-\u001f"():<>?@[\\\]{}\u007f-\uffff]/);
          expect(block.length).toBeLessThanOrEqual(128);
        }
      });

      it('eventsource-close, eventsource-request-cancellation: a client that leaves is gone, before the headers too', async () => {
        const { sse, url } = await start();
        const { stream } = await connect(url);
        stream.close();
        for (let i = 0; i < 20; i++) {
          const request = http.get(`${url}/events/t`, { agent: false });
          request.on('error', () => {});
          request.destroy();
        }
        await until('all are gone', () => sse.getClientCount() === 0 && sse.stats().topics === 0);
      });
    });
  }
}
