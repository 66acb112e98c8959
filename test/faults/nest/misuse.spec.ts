import { setTimeout as delay } from 'node:timers/promises';

import { expect, it } from '@jest/globals';

import { until } from '../../support/baseline.js';
import { type LogLine, onEveryNest } from '../../support/processes/nest-versions.js';

/** What cannot become a stream, or does not stay one, and what is said about it. */

const CURSOR = /^1~[0-9a-z._]+~[0-9a-z]+-[0-9a-z]+$/;

/** Routes of `test/support/nest/misuse.ts` that are refused, and what the message has to name and to advise. */
const REFUSED: readonly (readonly [route: string, what: RegExp, remedy: RegExp])[] = [
  ['stream-from-get', /streamFromGet\(\) returns stream\(\)/, /@Sse\(\).*@EventStream\(\)/],
  ['wrapped-stream-from-get', /wrappedStreamFromGet\(\) returns stream\(\)/, /@Sse\(\).*@EventStream\(\)/],
  ['stream-with-response', /streamWithResponse\(\) returns stream\(\)/, /@Sse\(\).*@EventStream\(\)/],
  [
    'create-client-in-sse',
    /createClient\(\) was called in a handler of @Sse\(\)/,
    /sse\.stream\(topics\).*@EventStream\(\)/,
  ],
  [
    'passthrough',
    /createClient\(\) was called in \w+\.passthrough\(\).*passthrough: true/,
    /@EventStream\(\).*@Res\(\) alone/,
  ],
  [
    'whole-answer',
    /wholeAnswer\(\) returns what addClient\(\) answers as a whole/,
    /addClient\(\{ topics \}\)\.response/,
  ],
  ['wrapped-whole-answer', /returns what addClient\(\) answers as a whole/, /addClient\(\{ topics \}\)\.response/],
  ['add-client-in-sse', /addClient\(\) was called in a handler of @Sse\(\)/, /sse\.stream\(topics\).*@Get\(\)/],
  ['web-with-response', /webWithResponse\(\) returns the response of addClient\(\)/, /@EventStream\(\)/],
];

onEveryNest('misuse', (app) => {
  const told = async (): Promise<LogLine[]> => {
    const lines: LogLine[] = [];
    await until('it is in the log', async () => lines.push(...(await app.logged())) > 0);
    return lines;
  };

  const refused =
    app.version === 'Nest 11'
      ? [...REFUSED, ['web', /web\(\) returns.*from version 12\.4 on/, /@EventStream\(\)/] as const]
      : REFUSED;

  it.each(refused)(
    'N4: %s is INVALID_ROUTE, which is also in the log, and holds no slot',
    async (route, what, remedy) => {
      const answer = await fetch(app.url(route));
      expect([answer.status, answer.headers.get('content-type')]).toEqual([500, expect.stringMatching(/json/)]);
      const { code, message } = (await answer.json()) as { code: string; message: string };
      expect(code).toBe('INVALID_ROUTE');
      expect(message).toMatch(what);
      expect(message).toMatch(remedy);
      await app.untilAllHaveLeft();
      expect(await app.logged()).toEqual([{ level: 'error', text: message }]);
    },
  );

  it('N4: a second createClient() on one response is in the log, and holds no slot', async () => {
    const stream = await app.open('twice');
    await stream.untilEnd();
    await app.untilAllHaveLeft();
    expect(await told()).toEqual([
      {
        level: 'error',
        text: expect.stringMatching(/answered already, or carries a stream.*topics: \[/) as unknown,
      },
    ]);
  });

  it('N4: an `expiresAt` in seconds is INVALID_CONFIG, with the value and the remedy', async () => {
    const seconds = Math.floor(Date.now() / 1_000) + 3_600;
    const answer = await fetch(app.url(`expires?at=${seconds}`));
    expect(answer.status).toBe(500);
    const { code, message } = (await answer.json()) as { code: string; message: string };
    expect(code).toBe('INVALID_CONFIG');
    expect(message).toContain(String(seconds));
    expect(message).toMatch(/milliseconds.*× 1,000/);
    await app.untilAllHaveLeft();
  });

  it.each([
    ['cached', 'CacheInterceptor'],
    ['cached-by-key', 'CacheInterceptor'],
    ['shared', 'share'],
  ])('N3: nobody is handed the events of somebody else (%s), which is in the log', async (route, culprit) => {
    const first = await app.open(route);
    await first.next();
    await app.broadcast('t', 1, 10);
    await first.messagesUpTo(1);
    const other = await app.open(route);
    await app.broadcast('t', 1, 10);
    await other.until(() => other.raw.includes('meant for another request'));
    expect(other.raw).not.toMatch(/padding|1~/);
    await other.untilEnd();
    const [line] = await told();
    expect(line).toEqual({ level: 'error', text: expect.stringContaining(culprit) as unknown });
    first.close();
    await app.untilAllHaveLeft();
  });

  it('N3: an interceptor that awaits the end of a stream is told, by its name, once', async () => {
    const streams = await Promise.all([app.open('awaited'), app.open('awaited')]);
    const lines = await told();
    expect(lines).toEqual([
      {
        level: 'warn',
        text: expect.stringMatching(/awaited\(\).*nothing of it comes.*AwaitingInterceptor/) as unknown,
      },
    ]);
    for (const stream of streams) stream.close();
    await app.untilAllHaveLeft();
    expect(await app.logged()).toEqual([]);
  });

  it.each([
    ['wrapped', /wrapped\(\).*envelope \(\{ success, data \}\).*WrappingInterceptor/],
    ['new-messages', /newMessages\(\).*makes new messages.*Leave @Sse\(\) handlers out/],
  ])('N3: one that makes something else of the messages is told once (%s)', async (route, what) => {
    const streams = [await app.open(route), await app.open(route)];
    await Promise.all(streams.map((stream) => stream.until(() => stream.events.length > 0)));
    expect(await told()).toEqual([{ level: 'warn', text: expect.stringMatching(what) as unknown }]);
    for (const stream of streams) stream.close();
    await app.untilAllHaveLeft();
    expect(await app.logged()).toEqual([]);
  });

  it.each([
    ['timed-out', { level: 'warn', text: /timedOut\(\).*time limit.*TimeoutInterceptor/ }],
    ['failing', { level: 'error', text: /failing\(\).*failed with HttpException: secret/ }],
  ])(
    'N3: one that fails a stream ends it, and takes no cursor from its client (%s)',
    async (route, { level, text }) => {
      const first = await app.open(route);
      await first.next();
      await app.broadcast('t', 1);
      await first.untilEnd();
      expect(first.response.complete).toBe(true);
      expect(first.ofType('error')).toEqual([]);
      expect(first.raw).not.toMatch(/secret/);
      expect(first.lastEventId).toMatch(CURSOR);
      expect(await told()).toEqual([{ level, text: expect.stringMatching(text) as unknown }]);
      await app.untilAllHaveLeft();
    },
  );

  it('N3: a client whose stream was timed out comes back to where it was, and nothing more is said', async () => {
    const first = await app.open('timed-out');
    await first.untilEnd();
    await app.broadcast('t', 2);
    const again = await app.open('timed-out', { lastEventId: first.lastEventId });
    expect((await again.next()).data).toContain('"resumed":"full"');
    expect(await again.messagesUpTo(2)).toMatchObject([{ n: 1 }, { n: 2 }]);
    await again.untilEnd();
    await app.untilAllHaveLeft();
    expect(await app.logged()).toEqual([]);
  });

  it('N3: what an application merges in has the cursor of its place, and not a number', async () => {
    const stream = await app.open('merged');
    await app.broadcast('t', 1);
    await stream.until(() => stream.ofType('tick').length > 3 && stream.ofType('n').length === 1);
    for (const { lastEventId } of stream.events) expect(lastEventId).toMatch(CURSOR);
    stream.close();
    await app.untilAllHaveLeft();
    await app.broadcast('t', 2);
    const again = await app.open('merged', { lastEventId: stream.lastEventId });
    expect((await again.next()).data).toContain('"resumed":"full"');
    await again.until(() => again.ofType('n').length === 2);
    again.close();
    await app.untilAllHaveLeft();
    expect(await app.logged()).toEqual([]);
  });

  it('N3: those that serialise, tap, retry and finalise change nothing', async () => {
    const stream = await app.open('harmless');
    await stream.next();
    await app.broadcast('t', 3);
    expect(((await stream.messagesUpTo(3)) as { n: number }[]).map(({ n }) => n)).toEqual([1, 2, 3]);
    expect(stream.lastEventId).toMatch(CURSOR);
    stream.close();
    await app.untilAllHaveLeft();
    expect(await app.logged()).toEqual([]);
  });

  it('N3: a handler of @Sse() with a stream of its own is left to Nest', async () => {
    const stream = await app.open('foreign');
    await stream.until(() => /event: error\nid: 3\ndata: their own/.test(stream.raw));
    stream.close();
    expect(await app.logged()).toEqual([]);
  });

  it.each(['timed', 'awaited', 'wrapped', 'cached', 'cached-by-key', 'harmless'])(
    'N3: nothing that is put around @EventStream() touches its stream (%s)',
    async (route) => {
      for (let n = 0; n < 2; n++) {
        const first = await app.open(`event-stream/${route}`);
        expect((await first.next()).data).toContain('"resumed":"none"');
        // Longer than the time limit.
        await delay(150);
        await app.broadcast('t', 1);
        await first.messagesUpTo(1);
        first.close();
        await app.untilAllHaveLeft();
        await app.broadcast('t', 1);
        const again = await app.open(`event-stream/${route}`, { lastEventId: first.lastEventId });
        expect((await again.next()).data).toContain('"resumed":"full"');
        await again.messagesUpTo(1);
        again.close();
        await app.untilAllHaveLeft();
      }
      expect(await app.logged()).toEqual([]);
    },
  );

  it.each([
    ['failing', /failing\(\).*TypeError: .* after the stream had been opened.*undefined.*FailingInterceptor\./],
    ['late', /late\(\).*RequestTimeoutException.* after the stream.*TimeoutInterceptor, LateInterceptor\./],
  ])('N3: one that fails behind @EventStream() ends no stream, and is told once (%s)', async (route, what) => {
    const streams = [await app.open(`event-stream/${route}`), await app.open(`event-stream/${route}`)];
    for (const stream of streams) await stream.next();
    const lines = await told();
    await delay(200);
    await app.broadcast('t', 1);
    for (const stream of streams) {
      expect(await stream.messagesUpTo(1)).toMatchObject([{ n: 1 }]);
      stream.close();
    }
    await app.untilAllHaveLeft();
    expect([...lines, ...(await app.logged())]).toEqual([
      { level: 'warn', text: expect.stringMatching(what) as unknown },
    ]);
  });

  it('N3: a cache that would keep the stream of @EventStream() from the next one is told, and so is who asked', async () => {
    const first = await app.open('event-stream/remembered');
    await first.next();
    const answer = await fetch(app.url('event-stream/remembered'));
    const { code, message } = (await answer.json()) as { code: string; message: string };
    expect([answer.status, code]).toEqual([500, 'INVALID_ROUTE']);
    expect(message).toMatch(/remembered\(\): an interceptor answered instead.*Leave.*RememberingInterceptor\.$/);
    expect(await told()).toEqual([{ level: 'error', text: message }]);
    first.close();
    await app.untilAllHaveLeft();
  });

  it('N3: who is answered by an interceptor with nothing, in place of @EventStream(), is told so', async () => {
    const answer = await fetch(app.url('event-stream/silent'));
    expect(answer.status).toBe(500);
    expect(await answer.text()).toMatch(/silent\(\).*SilentInterceptor/);
    expect(await told()).toHaveLength(1);
  });

  it.each([
    ['hidden', 403, /Not yours/],
    ['slow', 408, /Request Timeout/],
  ])('N3: what goes wrong before the stream of @EventStream() is the answer (%s)', async (route, status, text) => {
    const answer = await fetch(app.url(`event-stream/${route}`));
    expect([answer.status, await answer.text()]).toEqual([status, expect.stringMatching(text)]);
    await delay(600);
    expect((await app.stats()).clients).toBe(0);
    expect(await app.logged()).toEqual([]);
  });
});
