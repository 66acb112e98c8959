import { Readable } from 'node:stream';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { Controller, Delete, HttpCode, Inject, Param } from '@nestjs/common';
import { EventStream, SSEService } from 'nestjs-sse-hub';
import { TestLog } from 'nestjs-sse-hub/testing';
import { interval, map, of, Subject, throwError } from 'rxjs';

import { returnToBaseline, until } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';

const bench = returnToBaseline();

async function* words(...all: string[]): AsyncGenerator<string> {
  for (const word of all) {
    await turn();
    yield word;
  }
}

/** A source that waits until it is told to go on, whatever its signal says. */
function source() {
  const values = new Subject<unknown>();
  let signal: AbortSignal | undefined;
  const work = (given: AbortSignal) => {
    signal = given;
    return values;
  };
  return {
    values,
    work,
    get signal() {
      return signal;
    },
  };
}

function hanging(): { work: (signal: AbortSignal) => AsyncGenerator<number>; readonly signals: AbortSignal[] } {
  const signals: AbortSignal[] = [];
  return {
    signals,
    work: async function* (signal) {
      signals.push(signal);
      yield 1;
      await new Promise(() => {});
    },
  };
}

/** Everything that is published on the topic, as code on the server sees it. */
function recorded(sse: SSEService, topic = 'answer'): unknown[][] {
  const got: unknown[][] = [];
  const observing = sse.observe(topic).subscribe(({ event, data }) => got.push([event, data]));
  bench.onEnd(() => observing.unsubscribe());
  return got;
}

function hub(config: ConstructorParameters<typeof SSEService>[0] = {}): SSEService {
  return bench.watch(new SSEService({ drainTimeout: 100, ...config }));
}

describe('run()', () => {
  it('publishes each value, says the last word, and finishes the topic', async () => {
    const sse = hub();
    const got = recorded(sse);
    const run = sse.run('answer', () => words('Hello', ' world'), { event: 'token', last: { data: '[DONE]' } });
    expect(sse.getRun('answer')).toMatchObject({ id: run.id, state: 'running', topic: 'answer' });
    expect(await run.done).toBe('finished');
    expect(got).toEqual([
      ['token', 'Hello'],
      ['token', ' world'],
      [undefined, '[DONE]'],
    ]);
    expect(sse.getRun('answer')).toMatchObject({ id: run.id, state: 'finished', events: 3 });
    expect(() => sse.broadcast('answer', 'token', '!')).toThrow(expect.objectContaining({ code: 'TOPIC_CLOSED' }));
  });

  it('starts a topic over that another run has finished', async () => {
    const sse = hub();
    const got = recorded(sse);
    const first = sse.run('answer', () => words('a'));
    await first.done;
    const second = sse.run('answer', () => words('b'));
    expect(await second.done).toBe('finished');
    expect(second.id).not.toBe(first.id);
    expect(got.map(([, data]) => data)).toEqual(['a', 'b']);
  });

  const sources: [string, () => unknown][] = [
    ['an async generator', () => words('1', '2', '3')],
    ['a promise of one', () => Promise.resolve(words('1', '2', '3'))],
    ['an array', () => ['1', '2', '3']],
    ['an Observable that is done at once', () => of('1', '2', '3')],
    ['a stream of Node', () => Readable.from(['1', '2', '3'])],
    ['a stream of the web', () => new Blob(['1']).stream().pipeThrough(new TextDecoderStream())],
  ];
  for (const [name, make] of sources) {
    it(`takes ${name}`, async () => {
      const sse = hub();
      const got = recorded(sse);
      expect(await sse.run('answer', make as never, { event: 'n' }).done).toBe('finished');
      expect(got.map(([, data]) => data)).toEqual(name.endsWith('web') ? ['1'] : ['1', '2', '3']);
    });
  }

  it('takes whole events, and anything else as data, also what looks a little like an event', async () => {
    const sse = hub();
    const got = recorded(sse);
    const values = [
      { event: 'progress', data: 1, id: 'own' },
      { data: 1 },
      { type: 'data-x', data: 1 },
      { event: 'x', data: 1, run_id: 2 },
      'text',
    ];
    await sse.run('answer', () => values).done;
    expect(got).toEqual([['progress', 1], ...values.slice(1).map((value) => [undefined, value])]);
    const named = recorded(sse, 'named');
    await sse.run('named', () => values.slice(0, 1), { event: 'row' }).done;
    expect(named).toEqual([['row', values[0]]]);
  });

  const failures: [string, (signal: AbortSignal) => unknown][] = [
    [
      'throws before there is a source',
      () => {
        throw new Error('secret');
      },
    ],
    ['is no source', () => 42],
    ['fails at once', () => throwError(() => new Error('secret'))],
    ['gives something that has no JSON form', () => [1n]],
    ['gives an event of another topic', () => [{ event: 'a', data: 1, topic: 'other' }]],
  ];
  for (const [name, work] of failures) {
    it(`is told as failed, without saying why, where it ${name}`, async () => {
      const sse = hub();
      const got = recorded(sse);
      expect(await sse.run('answer', work as never).done).toBe('failed');
      expect(got).toEqual([['failed', { message: 'The source of these events failed.' }]]);
      expect(sse.getRun('answer')).toMatchObject({ state: 'failed', reason: 'source' });
    });
  }

  it('says what it is told to when it fails, and when it is cancelled', async () => {
    const sse = hub();
    const got = recorded(sse);
    const options = { failed: { data: 'sorry' }, cancelled: { data: 'stopped' } };
    await sse.run('answer', () => throwError(() => new Error('x')), options).done;
    const { work } = hanging();
    const run = sse.run('answer', work, options);
    await until('it runs', () => got.length === 2);
    sse.cancelRun('answer');
    expect(await run.done).toBe('cancelled');
    expect(got.map(([, data]) => data)).toEqual(['sorry', 1, 'stopped']);
  });

  it('says in the end what was checked in the beginning, whatever has become of it', async () => {
    const sse = hub();
    const got = recorded(sse);
    const last: { data: unknown } = { data: 'done' };
    const run = sse.run('answer', () => words('a'), { last });
    last.data = 1n;
    expect(await run.done).toBe('finished');
    expect(got.map(([, data]) => data)).toEqual(['a', 'done']);
  });

  it('refuses options and topics that make no sense before anything runs', () => {
    const sse = hub();
    const work = () => {
      throw new Error('it ran');
    };
    expect(() => sse.run('a*b', work)).toThrow(expect.objectContaining({ code: 'INVALID_TOPIC' }));
    expect(() => sse.run('a', work, { event: 'sse.x' } as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_EVENT' }),
    );
    expect(() => sse.run('a', work, { last: { data: 1n } })).toThrow(
      expect.objectContaining({ code: 'INVALID_EVENT' }),
    );
    expect(() => sse.run('a', work, { onRunning: 'wait' as never })).toThrow(/`onRunning` is "wait"; it has to be/);
    expect(() => sse.run('a', work, { events: 'x' } as never)).toThrow(/has no option `events`/);
    expect(() => sse.run('a', 42 as never)).toThrow(/has to be a function/);
    expect(() => sse.cancelRun('a', { id: '' })).toThrow(/`id` is ""/);
    expect(() => sse.cancelRun('a', { reason: 'a\nb' })).toThrow(/`reason`/);
    expect(sse.getRun('a')).toBeUndefined();
  });

  it('has a source that hangs stop, and throws away what it gives afterwards', async () => {
    const sse = hub();
    const got = recorded(sse);
    const given = source();
    const run = sse.run('answer', given.work);
    await until('it runs', () => given.values.observed);
    given.values.next(1);
    sse.cancelRun('answer', { reason: 'the user left' });
    expect(given.signal).toMatchObject({ aborted: true, reason: { name: 'AbortError', message: /the user left/ } });
    given.values.next(2);
    expect(await run.done).toBe('cancelled');
    await turn();
    expect(got.map(([, data]) => data)).toEqual([1]);
    expect(sse.getRun('answer')).toMatchObject({ state: 'cancelled', reason: 'the user left' });
    expect(given.values.observed).toBe(false);
  });

  it('is cancelled by closeTopic(), too', async () => {
    const sse = hub();
    const { work, signals } = hanging();
    const run = sse.run('answer', work);
    await until('it runs', () => signals.length === 1);
    sse.closeTopic('answer');
    expect(await run.done).toBe('cancelled');
    expect(signals[0]!.aborted).toBe(true);
  });

  it('leaves a newer run alone when an older one is cancelled', async () => {
    const sse = hub();
    const first = sse.run('answer', () => words('a'));
    await first.done;
    const { work, signals } = hanging();
    const second = sse.run('answer', work);
    await until('it runs', () => signals.length === 1);
    sse.cancelRun('answer', { id: first.id });
    await turn();
    expect(sse.getRun('answer')).toMatchObject({ id: second.id, state: 'running' });
    sse.cancelRun('answer', { id: second.id });
    expect(await second.done).toBe('cancelled');
  });

  it('joins, replaces or refuses a second start, as asked', async () => {
    const sse = hub();
    const first = hanging();
    const run = sse.run('answer', first.work);
    const joined = sse.run('answer', () => {
      throw new Error('it ran');
    });
    expect(joined.id).toBe(run.id);
    await joined.started;
    await until('it runs', () => first.signals.length === 1);
    expect(() => sse.run('answer', first.work, { onRunning: 'reject' })).toThrow(
      expect.objectContaining({ code: 'RUN_EXISTS' }),
    );
    const newer = sse.run('answer', () => words('b'), { onRunning: 'replace' });
    expect(await newer.done).toBe('finished');
    expect(await Promise.all([run.done, joined.done])).toEqual(['cancelled', 'cancelled']);
    expect(first.signals[0]!.aborted).toBe(true);
  });

  it('lets others have their turn, however fast a source is, and loses nothing of it', async () => {
    const sse = hub({ history: [{ topics: 'answer', maxSize: 10 }] });
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    function* many() {
      for (let n = 0; n < 100_000; n++) yield n;
    }
    const run = sse.run('answer', many);
    expect(await run.done).toBe('finished');
    clearInterval(ticking);
    expect(turns).toBeGreaterThan(10);
    const got: unknown[] = [];
    sse
      .observe('answer', { since: 0 })
      .subscribe(({ data }) => got.push(data))
      .unsubscribe();
    expect(sse.getRun('answer')).toMatchObject({ events: 100_000 });
    // What fits into the memory that there is for it, up to the last one.
    expect(got.at(-1)).toBe(99_999);
    expect(got.length).toBeGreaterThan(10_000);
  });

  it('keeps the asynchronous context of whoever started it', async () => {
    const { AsyncLocalStorage } = await import('node:async_hooks');
    const store = new AsyncLocalStorage<string>();
    const sse = hub();
    const got = recorded(sse);
    async function* who() {
      yield store.getStore();
      await delay(1);
      yield store.getStore();
    }
    await store.run('ada', () => sse.run('answer', who as () => AsyncGenerator<string>).done);
    expect(got.map(([, data]) => data)).toEqual(['ada', 'ada']);
  });

  it('runs where the hub is switched off, and nobody hears of it', async () => {
    const sse = hub({ enabled: false });
    const seen: number[] = [];
    function* numbers() {
      for (const n of [1, 2]) {
        seen.push(n);
        yield n;
      }
    }
    expect(await sse.run('answer', numbers).done).toBe('finished');
    expect(seen).toEqual([1, 2]);
  });

  it('has drainTimeout to finish when the hub shuts down, and is told as failed then', async () => {
    const log = new TestLog();
    const [one, two] = [log.node(), log.node()].map((backplane) => hub({ backplane, drainTimeout: 200 }));
    await Promise.all([one!.start(), two!.start()]);
    const got = recorded(two!);
    const quick = one!.run('quick', () =>
      interval(20).pipe(
        map((n) => {
          if (n > 3) throw new Error('enough');
          return n;
        }),
      ),
    );
    const finishing = one!.run('finishing', () => words('a', 'b', 'c', 'd'));
    const { work, signals } = hanging();
    const slow = one!.run('answer', work);
    await until('it runs', () => signals.length === 1);
    await one!.shutdown();
    expect(signals[0]!.aborted).toBe(true);
    expect(await Promise.all([quick.done, finishing.done, slow.done])).toEqual(['failed', 'finished', 'failed']);
    expect(two!.getRun('answer')).toMatchObject({ state: 'failed', reason: 'shutdown' });
    expect(got.at(-1)).toEqual(['failed', expect.anything()]);
    expect(() => one!.run('answer', work)).not.toThrow();
    await expect(one!.run('answer', work).started).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});

describe('runs of several nodes', () => {
  async function nodes(count = 2) {
    const log = new TestLog();
    const backplanes = Array.from({ length: count }, () => log.node());
    const hubs = backplanes.map((backplane) => hub({ backplane, maxHistorySize: 2 }));
    await Promise.all(hubs.map((sse) => sse.start()));
    return { log, backplanes, hubs };
  }

  it('are known, followed and cancelled on each of them', async () => {
    const { hubs } = await nodes();
    const [one, two] = hubs as [SSEService, SSEService];
    const { work, signals } = hanging();
    const run = one.run('answer', work);
    await until('it runs', () => signals.length === 1);
    expect(two.getRun('answer')).toEqual(one.getRun('answer'));
    const joined = two.run('answer', () => {
      throw new Error('it ran');
    });
    expect(joined.id).toBe(run.id);
    two.cancelRun('answer');
    expect(await Promise.all([run.done, joined.done])).toEqual(['cancelled', 'cancelled']);
    expect(signals[0]!.aborted).toBe(true);
  });

  it('are one where two begin at a time: the other one joins, is refused, or follows behind', async () => {
    for (const onRunning of ['join', 'reject', 'replace'] as const) {
      const { backplanes, hubs } = await nodes();
      for (const backplane of backplanes) backplane.hold();
      const ran: number[] = [];
      const runs = hubs.map((sse, i) =>
        sse.run(
          'answer',
          async function* () {
            ran.push(i);
            await delay(20);
            yield i;
          },
          { onRunning },
        ),
      );
      await turn();
      for (const backplane of backplanes) backplane.release();
      const started = await Promise.allSettled(runs.map((run) => run.started));
      const done = await Promise.allSettled(runs.map((run) => run.done));
      if (onRunning === 'join') {
        expect(ran).toEqual([0]);
        expect(runs[1]!.id).toBe(runs[0]!.id);
        expect(done).toEqual([1, 2].map(() => ({ status: 'fulfilled', value: 'finished' })));
      } else if (onRunning === 'reject') {
        expect(ran).toEqual([0]);
        expect(started[1]).toMatchObject({ status: 'rejected', reason: { code: 'RUN_EXISTS' } });
        expect(done[1]).toMatchObject({ status: 'rejected', reason: { code: 'RUN_EXISTS' } });
      } else {
        expect(done).toEqual(['cancelled', 'finished'].map((value) => ({ status: 'fulfilled', value })));
      }
    }
  });

  it('publish nothing behind their end, also where their node has not read of it', async () => {
    const { backplanes, hubs } = await nodes();
    const [one, two] = hubs as [SSEService, SSEService];
    const given = source();
    const run = one.run('answer', given.work);
    await until('it runs', () => given.values.observed);
    const got = recorded(two);
    given.values.next(1);
    backplanes[0]!.hold();
    two.cancelRun('answer');
    given.values.next(2);
    expect(given.signal!.aborted).toBe(false);
    backplanes[0]!.release();
    expect(given.signal!.aborted).toBe(true);
    expect(await run.done).toBe('cancelled');
    expect(got.map(([, data]) => data)).toEqual([1]);
  });

  it('go on in another life of the log', async () => {
    const { log, hubs } = await nodes();
    const [one, two] = hubs as [SSEService, SSEService];
    const given = source();
    const run = one.run('answer', given.work);
    await until('it runs', () => given.values.observed);
    given.values.next(1);
    log.flush();
    expect(two.getRun('answer')).toBeUndefined();
    const got = recorded(two);
    given.values.next(2);
    expect(two.getRun('answer')).toMatchObject({ id: run.id, state: 'running', node: one.getRun('answer')!.node });
    // And they are whole in it, as in the one before.
    for (const n of [3, 4, 5]) given.values.next(n);
    given.values.complete();
    expect(await run.done).toBe('finished');
    expect(got.map(([, data]) => data)).toEqual([2, 3, 4, 5]);
    await turn();
    for (const sse of hubs) {
      const kept: unknown[] = [];
      sse
        .observe('answer', { since: 0 })
        .subscribe(({ data }) => kept.push(data))
        .unsubscribe();
      expect(kept).toEqual([2, 3, 4, 5]);
      expect(sse.getRun('answer')).toMatchObject({ state: 'finished' });
    }
  });
});

@Controller('chat/:id')
class ChatController {
  static work: (signal: AbortSignal) => AsyncIterable<unknown> = () => words();

  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @EventStream('', { method: 'POST' })
  start(@Param('id') id: string) {
    return this.sse.run(`chat:${id}`, (signal) => ChatController.work(signal), {
      merge: (chunks: readonly string[]) => chunks.join(''),
    });
  }

  @EventStream()
  follow(@Param('id') id: string) {
    return this.sse.getRun(`chat:${id}`);
  }

  @EventStream('from/:n')
  from(@Param('id') id: string, @Param('n') n: string) {
    return { topics: `chat:${id}`, from: Number(n) };
  }

  @Delete()
  @HttpCode(204)
  stop(@Param('id') id: string): void {
    this.sse.cancelRun(`chat:${id}`);
  }
}

for (const platform of platforms) {
  describe(`@EventStream() and a run on ${platform.name}`, () => {
    const start = async () => {
      const { url, sse } = await bench.start(platform, {
        controllers: [ChatController],
        config: { drainTimeout: 100 },
      });
      return { url, sse, chat: `${url}/chat/7` };
    };

    it('starts and follows in one answer, and ends with the run', async () => {
      ChatController.work = () => words('a', 'b', 'c');
      const { chat } = await start();
      const stream = await bench.stream(chat, '', { method: 'POST' });
      expect((await stream.take(3)).map(({ data }) => data)).toEqual(['a', 'b', 'c']);
      await stream.next('sse.end');
      expect(await stream.ended()).toBe('end');
    });

    it('gives who comes late all of it, and 204 to who comes for none', async () => {
      const { chat, sse } = await start();
      expect((await fetch(chat)).status).toBe(204);
      const values = new Subject<string>();
      sse.run('chat:7', () => values);
      await until('it runs', () => values.observed);
      values.next('a');
      values.next('b');
      const late = await bench.stream(chat, '');
      expect((await late.take(2)).map(({ data }) => data)).toEqual(['a', 'b']);
      values.next('c');
      expect((await late.next()).data).toBe('c');
      values.complete();
      await late.next('sse.end');
      const later = await bench.stream(chat, '/from/2');
      expect((await later.next()).data).toBe('c');
      await later.next('sse.end');
    });

    it('merges what somebody is behind by, and resumes exactly from within', async () => {
      const values = new Subject<string>();
      ChatController.work = () => values as never;
      const { chat, sse } = await start();
      const there = await bench.stream(chat, '', { method: 'POST' });
      await until('it runs', () => values.observed);
      const text = Array.from({ length: 1_000 }, (_, n) => `${n},`);
      for (const part of text.slice(0, 600)) {
        values.next(part);
        if (Number.parseInt(part) % 100 === 0) await turn();
      }
      const got = await there.take(600);
      expect(got.map(({ data }) => data)).toEqual(text.slice(0, 600));
      const late = await bench.stream(chat, '', { method: 'POST' });
      expect((await late.next()).data).toBe(text.slice(0, 600).join(''));
      // Whoever was there comes back with a cursor from the middle of what the other got as one.
      there.cut();
      for (const part of text.slice(600)) values.next(part);
      await turn();
      values.complete();
      await sse.run('chat:7', () => values).done;
      const again = await bench.stream(chat, '', {
        method: 'GET',
        headers: { 'last-event-id': got[299]!.lastEventId },
      });
      const rest: unknown[] = [];
      for await (const { event, data } of again) if (event === undefined || event === 'message') rest.push(data);
      expect(rest.join('')).toBe(text.slice(300).join(''));
    });

    it('goes on when its viewers leave, and stops when it is told to', async () => {
      const { work, signals } = hanging();
      ChatController.work = work;
      const { chat, sse } = await start();
      for (let n = 0; n < 20; n++) {
        const viewer = await bench.stream(chat, '', { method: n === 0 ? 'POST' : 'GET' });
        expect((await viewer.next()).data).toBe(1);
        viewer.cut();
      }
      await until('all are gone', () => sse.stats().clients === 0);
      expect(sse.getRun('chat:7')).toMatchObject({ state: 'running' });
      expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
      const viewer = await bench.stream(chat, '');
      expect((await fetch(chat, { method: 'DELETE' })).status).toBe(204);
      await viewer.next('sse.end');
      expect(signals[0]!.aborted).toBe(true);
    });
  });
}
