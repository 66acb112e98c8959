import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Query, Res } from '@nestjs/common';
import { MemoryBackplane, type NodeResponseLike, SSEService } from 'nestjs-sse-hub';

import { type EventStream, open } from '../support/event-stream.js';
import { LaggingBackplane } from '../support/lagging-backplane.js';
import { closeAllPlain, startPlain } from '../support/plain-server.js';
import { closeAll, platforms, startApp } from '../support/platforms.js';
import { direct, nestSse, web } from '../support/stream-controllers.js';

afterEach(async () => {
  await closeAll();
  await closeAllPlain();
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

function publish(sse: SSEService, topic: string, from: number, to: number): void {
  for (const n of numbers(from, to)) sse.broadcast(topic, 'n', n);
}

interface Open {
  readonly clientId: string;
  readonly resumed: string;
}

async function opened(stream: EventStream): Promise<Open> {
  const first = await stream.next();
  expect(first.event).toBe('sse.open');
  return JSON.parse(first.data) as Open;
}

function resets(stream: EventStream): { reason: string; topics: string[] }[] {
  return stream.ofType('sse.reset').map(({ data }) => JSON.parse(data) as { reason: string; topics: string[] });
}

for (const platform of platforms) {
  for (const transport of [direct, nestSse, web]) {
    describe(`${transport.name} on ${platform.name}`, () => {
      const start = (config = {}) => startApp(platform, { config, controllers: [transport.controller()] });

      it('resumes exactly: what was published while the client was away arrives once and in order', async () => {
        const { url, sse } = await start();
        const before = await open(`${url}/events/t`);
        expect((await opened(before)).resumed).toBe('none');
        publish(sse, 't', 1, 3);
        await before.messagesUpTo(3);
        before.close();
        publish(sse, 't', 4, 10);
        const after = await open(`${url}/events/t`, { lastEventId: before.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        publish(sse, 't', 11, 12);
        expect(await after.messagesUpTo(9)).toEqual(numbers(4, 12));
        after.close();
      });

      for (const lastEventId of [
        'x'.repeat(15_000),
        '17',
        '-1',
        'null',
        '*',
        '$',
        '%0d%0a',
        '1~',
        '1~abc~zz',
        'é\u{1F600}',
      ]) {
        it(`R2: answers the foreign last event ID ${JSON.stringify(lastEventId.slice(0, 20))} with sse.reset`, async () => {
          const { url, sse } = await start();
          publish(sse, 't', 1, 2);
          const header = Buffer.from(lastEventId, 'utf8').toString('latin1');
          const stream = await open(`${url}/events/t`, { lastEventId: header });
          expect((await opened(stream)).resumed).toBe('reset');
          expect(await stream.messagesUpTo(2)).toEqual([1, 2]);
          expect(resets(stream)).toEqual([{ reason: 'foreign', topics: ['t'] }]);
          stream.close();
          const clean = await open(`${url}/events/t`, { lastEventId: stream.lastEventId });
          expect((await opened(clean)).resumed).toBe('full');
          clean.close();
        });
      }

      it('R2: takes two Last-Event-ID headers for a foreign one', async () => {
        const { url, sse } = await start();
        publish(sse, 't', 1, 1);
        const stream = await open(`${url}/events/t`, { headers: { 'Last-Event-ID': ['a', 'b'] } });
        expect((await opened(stream)).resumed).toBe('reset');
        await stream.messagesUpTo(1);
        expect(resets(stream)).toEqual([{ reason: 'foreign', topics: ['t'] }]);
        stream.close();
      });

      it('R3: tells a client of another life of the log once, with an id that resumes cleanly', async () => {
        const first = await start();
        publish(first.sse, 't', 1, 1);
        const before = await open(`${first.url}/events/t`);
        await opened(before);
        publish(first.sse, 't', 2, 2);
        await before.messagesUpTo(1);
        await first.close();

        const second = await start();
        publish(second.sse, 't', 100, 101);
        const stream = await open(`${second.url}/events/t`, { lastEventId: before.lastEventId });
        expect((await opened(stream)).resumed).toBe('reset');
        const reset = await stream.next();
        expect(JSON.parse(reset.data)).toEqual({ reason: 'epoch', topics: ['t'] });
        stream.close();

        const again = await open(`${second.url}/events/t`, { lastEventId: reset.lastEventId });
        expect((await opened(again)).resumed).toBe('full');
        expect(await again.messagesUpTo(2)).toEqual([100, 101]);
        expect(resets(again)).toEqual([]);
        again.close();
      });

      it('R4: replays nothing to a client that has the newest event', async () => {
        const { url, sse } = await start();
        const before = await open(`${url}/events/t`);
        publish(sse, 't', 1, 3);
        await opened(before);
        await before.messagesUpTo(3);
        before.close();
        const after = await open(`${url}/events/t`, { lastEventId: before.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        publish(sse, 't', 4, 4);
        expect(await after.messagesUpTo(1)).toEqual([4]);
        expect(resets(after)).toEqual([]);
        after.close();
      });

      it('R5: tells a client once that what it missed is no longer retained', async () => {
        const { url, sse } = await start({ maxHistorySize: 10 });
        const before = await open(`${url}/events/t`);
        await opened(before);
        publish(sse, 't', 1, 1);
        await before.messagesUpTo(1);
        before.close();
        publish(sse, 't', 2, 30);
        await turn();
        const stream = await open(`${url}/events/t`, { lastEventId: before.lastEventId });
        expect((await opened(stream)).resumed).toBe('reset');
        const reset = await stream.next();
        expect(JSON.parse(reset.data)).toEqual({ reason: 'trimmed', topics: ['t'] });
        expect(await stream.messagesUpTo(10)).toEqual(numbers(21, 30));
        stream.close();
        const again = await open(`${url}/events/t`, { lastEventId: reset.lastEventId });
        expect((await opened(again)).resumed).toBe('full');
        expect(await again.messagesUpTo(10)).toEqual(numbers(21, 30));
        expect(resets(again)).toEqual([]);
        again.close();
      });

      it("R5: gives only what is new after a gap with onGap: 'latest'", async () => {
        const { url, sse } = await start({ maxHistorySize: 10, onGap: 'latest' });
        const before = await open(`${url}/events/t`);
        await opened(before);
        publish(sse, 't', 1, 1);
        await before.messagesUpTo(1);
        before.close();
        publish(sse, 't', 2, 30);
        await turn();
        const stream = await open(`${url}/events/t`, { lastEventId: before.lastEventId });
        await opened(stream);
        expect((await stream.next()).event).toBe('sse.reset');
        publish(sse, 't', 31, 31);
        expect(await stream.messagesUpTo(1)).toEqual([31]);
        stream.close();
      });

      it('R6: resumes a changed set of topics exactly, added topics from the cursor', async () => {
        const { url, sse } = await start();
        const before = await open(`${url}/events/a,b`);
        await opened(before);
        publish(sse, 'a', 1, 1);
        await before.messagesUpTo(1);
        before.close();
        publish(sse, 'a', 2, 2);
        publish(sse, 'b', 3, 3);
        publish(sse, 'c', 4, 4);
        publish(sse, 'b', 5, 5);
        const after = await open(`${url}/events/b,c`, { lastEventId: before.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        expect(await after.messagesUpTo(3)).toEqual([3, 4, 5]);
        after.close();
      });

      it('R7: gives every event exactly once to a client that disconnects in the middle of its replay, 50 times over', async () => {
        const { url, sse } = await start({ maxHistorySize: 20_000, highWaterMark: 2_000 });
        let stream = await open(`${url}/events/t`);
        await opened(stream);
        const got: unknown[] = [];
        for (let i = 0; i < 50; i++) {
          publish(sse, 't', i * 200 + 1, i * 200 + 200);
          const wanted = 1 + ((i * 37) % 150);
          await stream.until(() => stream.messages.length >= wanted);
          stream.close();
          got.push(...stream.data);
          stream = await open(`${url}/events/t`, { lastEventId: stream.lastEventId });
          expect((await opened(stream)).resumed).toBe('full');
        }
        await stream.until(() => got.length + stream.messages.length >= 10_000);
        got.push(...stream.data);
        expect(got).toEqual(numbers(1, 10_000));
        stream.close();
      });

      it('R8: resumes a quiet topic without a reset although a busy one rolled the log over three times', async () => {
        const { url, sse } = await start({ maxHistorySize: 100 });
        const quiet = await open(`${url}/events/quiet`);
        await opened(quiet);
        publish(sse, 'quiet', 1, 1);
        await quiet.messagesUpTo(1);
        quiet.close();
        for (let round = 0; round < 3; round++) {
          publish(sse, 'busy', 1, 100);
          await turn();
        }
        publish(sse, 'quiet', 2, 2);
        publish(sse, 'busy', 1, 50);
        const after = await open(`${url}/events/quiet`, { lastEventId: quiet.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        expect(await after.messagesUpTo(1)).toEqual([2]);
        expect(resets(after)).toEqual([]);
        after.close();
      });

      it('R8: resumes a topic that never had an event without a reset', async () => {
        const { url, sse } = await start({ maxHistorySize: 100 });
        const quiet = await open(`${url}/events/never`);
        await opened(quiet);
        quiet.close();
        for (let round = 0; round < 3; round++) {
          publish(sse, 'busy', 1, 200);
          await turn();
        }
        const after = await open(`${url}/events/never`, { lastEventId: quiet.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        after.close();
      });

      it('R13: the header wins over ?lastEventId=, which counts without one', async () => {
        const { url, sse } = await start();
        const before = await open(`${url}/events/t`);
        await opened(before);
        publish(sse, 't', 1, 3);
        await before.messagesUpTo(3);
        before.close();
        const [first, , third] = before.messages.map(({ lastEventId }) => lastEventId);
        const both = await open(`${url}/events/t?lastEventId=${first}`, { lastEventId: third! });
        await opened(both);
        const query = await open(`${url}/events/t?lastEventId=${first}`);
        await opened(query);
        publish(sse, 't', 4, 4);
        expect(await both.messagesUpTo(1)).toEqual([4]);
        expect(await query.messagesUpTo(3)).toEqual([2, 3, 4]);
        both.close();
        query.close();
      });

      it('answers the terminal cursor with 204, and takes no slot', async () => {
        const { url, sse } = await start();
        const stream = await open(`${url}/events/t`, { lastEventId: '1~end' });
        expect(stream.status).toBe(204);
        await stream.untilEnd();
        expect(stream.raw).toBe('');
        expect(sse.getClientCount()).toBe(0);
      });
    });
  }

  describe(`ids of the application on ${platform.name}`, () => {
    for (const transport of [direct, nestSse]) {
      it(`R10: ${transport.name}: exact for readers that honour id-only blocks; others resume by the id itself`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const stream = await open(`${url}/events/t`);
        await opened(stream);
        sse.broadcast('t', 'n', 1, 'one');
        sse.broadcast('t', 'n', 2, 'two');
        await stream.messagesUpTo(2);
        expect(stream.messages.map(({ lastEventId }) => lastEventId)).toEqual(['one', 'two']);
        expect(stream.lastEventId).toMatch(/^1~/);
        stream.close();
        sse.broadcast('t', 'n', 3, 'three');
        for (const lastEventId of [stream.lastEventId, 'two']) {
          const after = await open(`${url}/events/t`, { lastEventId });
          expect((await opened(after)).resumed).toBe('full');
          expect(await after.messagesUpTo(1)).toEqual([3]);
          after.close();
        }
      });

      it(`R10: ${transport.name}: starts from the oldest of several events with the same id, after a reset`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        sse.broadcast('t', 'n', 1, 'same');
        sse.broadcast('t', 'n', 2, 'other');
        sse.broadcast('t', 'n', 3, 'same');
        sse.broadcast('t', 'n', 4);
        const stream = await open(`${url}/events/t`, { lastEventId: 'same' });
        expect((await opened(stream)).resumed).toBe('reset');
        expect(await stream.messagesUpTo(3)).toEqual([2, 3, 4]);
        expect(resets(stream)).toEqual([{ reason: 'ambiguous', topics: ['t'] }]);
        stream.close();
      });

      it(`R10: ${transport.name}: looks an id up among the client's own topics only`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        sse.broadcast('a', 'n', 1, 'same');
        sse.broadcast('b', 'n', 2, 'same');
        sse.broadcast('b', 'n', 3);
        const stream = await open(`${url}/events/b`, { lastEventId: 'same' });
        expect((await opened(stream)).resumed).toBe('full');
        expect(await stream.messagesUpTo(1)).toEqual([3]);
        expect(resets(stream)).toEqual([]);
        stream.close();
      });

      it(`R10: ${transport.name}: resumes by the id of an event that was sent to one client`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const stream = await open(`${url}/events/t`);
        const { clientId } = await opened(stream);
        publish(sse, 't', 1, 1);
        sse.sendTo(clientId, 'private', 'hello', 'mine');
        await stream.messagesUpTo(2);
        expect(stream.messages[1]?.lastEventId).toBe('mine');
        stream.close();
        publish(sse, 't', 2, 2);
        const after = await open(`${url}/events/t`, { lastEventId: 'mine' });
        expect((await opened(after)).resumed).toBe('full');
        expect(await after.messagesUpTo(1)).toEqual([2]);
        after.close();
      });
    }
  });

  describe(`initial events on ${platform.name}`, () => {
    for (const transport of [direct, nestSse, web]) {
      it(`R16: ${transport.name}: come first, then everything published meanwhile, once; not after a full resume`, async () => {
        let release = (): void => {};
        let calls = 0;
        const initial = async () => {
          calls++;
          await new Promise<void>((resolve) => (release = resolve));
          return { event: 'state', data: 'initial' };
        };
        const controller = transport.controller(() => ({ initial }));
        const { url, sse } = await startApp(platform, { config: { maxHistorySize: 0 }, controllers: [controller] });
        publish(sse, 't', 1, 2);
        const stream = await open(`${url}/events/t`);
        await opened(stream);
        for (const n of numbers(3, 12)) {
          publish(sse, 't', n, n);
          await turn();
        }
        expect(stream.messages).toEqual([]);
        release();
        expect(await stream.messagesUpTo(11)).toEqual(['initial', ...numbers(3, 12)]);
        stream.close();
        const after = await open(`${url}/events/t`, { lastEventId: stream.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        publish(sse, 't', 13, 13);
        expect(await after.messagesUpTo(1)).toEqual([13]);
        expect(calls).toBe(1);
        after.close();
      });
    }
  });

  describe(`subscribing after connecting on ${platform.name}`, () => {
    @Controller()
    class BareController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('bare')
      bare(@Res() response: NodeResponseLike, @Query('topic') topic?: string): void {
        const id = this.sse.createClient(response);
        if (topic) this.sse.subscribe(id, topic);
      }
    }
    const start = () => startApp(platform, { controllers: [BareController] });

    it('R15: replays from the cursor for topics followed in the same turn', async () => {
      const { url, sse } = await start();
      const before = await open(`${url}/bare?topic=t`);
      await opened(before);
      publish(sse, 't', 1, 1);
      await before.messagesUpTo(1);
      before.close();
      publish(sse, 't', 2, 3);
      const after = await open(`${url}/bare?topic=t`, { lastEventId: before.lastEventId });
      expect((await opened(after)).resumed).toBe('full');
      expect(await after.messagesUpTo(2)).toEqual([2, 3]);
      after.close();
    });

    it('R15: keeps the cursor of a client that follows nothing, until it first does', async () => {
      const { url, sse } = await start();
      const before = await open(`${url}/bare?topic=t`);
      await opened(before);
      publish(sse, 't', 1, 1);
      await before.messagesUpTo(1);
      before.close();
      publish(sse, 't', 2, 3);
      const after = await open(`${url}/bare`, { lastEventId: before.lastEventId });
      const { clientId } = await opened(after);
      publish(sse, 't', 4, 4);
      await turn();
      expect(after.messages).toEqual([]);
      sse.subscribe(clientId, 't');
      expect(await after.messagesUpTo(3)).toEqual([2, 3, 4]);
      after.close();
    });

    it('R15: counts a later topic from the head, and says so when that skips something', async () => {
      const { url, sse } = await start();
      const before = await open(`${url}/bare?topic=a`);
      await opened(before);
      publish(sse, 'a', 1, 1);
      await before.messagesUpTo(1);
      before.close();
      publish(sse, 'b', 2, 2);
      const after = await open(`${url}/bare?topic=a`, { lastEventId: before.lastEventId });
      const { clientId } = await opened(after);
      await turn();
      sse.subscribe(clientId, 'b');
      sse.subscribe(clientId, 'c');
      publish(sse, 'b', 3, 3);
      expect(await after.messagesUpTo(1)).toEqual([3]);
      expect(resets(after)).toEqual([{ reason: 'late', topics: ['b'] }]);
      after.close();
    });

    it('a topic counts only while it is followed, both when it was published and when it is written', async () => {
      const { url, sse } = await start();
      const stream = await open(`${url}/bare?topic=a`);
      const { clientId } = await opened(stream);
      publish(sse, 'b', 1, 1);
      sse.subscribe(clientId, 'b');
      publish(sse, 'b', 2, 2);
      publish(sse, 'a', 3, 3);
      sse.unsubscribe(clientId, 'a');
      publish(sse, 'b', 4, 4);
      expect(await stream.messagesUpTo(2)).toEqual([2, 4]);
      stream.close();
    });
  });
}

describe('since and notBefore', () => {
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

  it('R9: since replays what is newer, by the positions of the log, whatever is no longer retained', async () => {
    let since: number | Date = 0;
    const { url, sse } = await startPlain({ maxHistorySize: 5 }, () => ({ since }));
    publish(sse, 't', 1, 4);
    await pause();
    const middle = Date.now();
    await pause();
    publish(sse, 't', 5, 8);
    await turn();
    for (const [from, expected] of [
      [0, [4, 5, 6, 7, 8]],
      [new Date(middle), [5, 6, 7, 8]],
      [Date.now() + 60_000, []],
    ] as const) {
      since = from;
      const stream = await open(`${url}/events/t`);
      expect((await opened(stream)).resumed).toBe('none');
      publish(sse, 'other', 1, 1);
      await stream.messagesUpTo(expected.length);
      await turn();
      expect(stream.data).toEqual(expected);
      expect(resets(stream)).toEqual([]);
      stream.close();
    }
  });

  it('R9: a last event ID wins over since', async () => {
    const { url, sse } = await startPlain({}, () => ({ since: 0 }));
    publish(sse, 't', 1, 2);
    const first = await open(`${url}/events/t`);
    expect(await first.messagesUpTo(2)).toEqual([1, 2]);
    first.close();
    publish(sse, 't', 3, 3);
    const second = await open(`${url}/events/t`, { lastEventId: first.lastEventId });
    expect(await second.messagesUpTo(1)).toEqual([3]);
    second.close();
  });

  it('R9: the cursor of sse.open is the position before the first event of since', async () => {
    const { url, sse } = await startPlain({}, () => ({ since: 0 }));
    publish(sse, 't', 1, 2);
    const first = await open(`${url}/events/t`);
    const { lastEventId } = await first.next();
    first.close();
    const second = await open(`${url}/events/t`, { lastEventId });
    expect(await second.messagesUpTo(2)).toEqual([1, 2]);
    second.close();
  });

  it('R9: an hour back on the clock evicts nothing, and positions go on growing', async () => {
    const { url, sse } = await startPlain({ maxHistoryAge: 60_000 }, () => ({ since: 0 }));
    const realNow = Date.now;
    try {
      publish(sse, 't', 1, 3);
      Date.now = () => realNow() - 3_600_000;
      publish(sse, 't', 4, 6);
      await turn();
      const stream = await open(`${url}/events/t`);
      expect(await stream.messagesUpTo(6)).toEqual(numbers(1, 6));
      const ids = stream.messages.map(({ lastEventId }) => lastEventId);
      expect(new Set(ids).size).toBe(6);
      stream.close();
      expect(sse.stats().history.events).toBe(6);
    } finally {
      Date.now = realNow;
    }
  });

  it('replays nothing older than notBefore, whatever the cursor', async () => {
    let notBefore: number | undefined;
    const { url, sse } = await startPlain({}, () => ({ ...(notBefore !== undefined && { notBefore }) }));
    const before = await open(`${url}/events/t`);
    await opened(before);
    publish(sse, 't', 1, 2);
    await before.messagesUpTo(2);
    before.close();
    await pause();
    notBefore = Date.now();
    await pause();
    publish(sse, 't', 3, 3);
    const after = await open(`${url}/events/t`, { lastEventId: before.messages[0]!.lastEventId });
    expect((await opened(after)).resumed).toBe('full');
    expect(await after.messagesUpTo(1)).toEqual([3]);
    after.close();
  });

  it('replays broadcastAll only after a last event ID', async () => {
    const { url, sse } = await startPlain({}, () => ({ since: 0 }));
    publish(sse, 't', 1, 1);
    sse.broadcastAll('all', 2);
    publish(sse, 't', 3, 3);
    const stream = await open(`${url}/events/t`);
    expect(await stream.messagesUpTo(2)).toEqual([1, 3]);
    stream.close();
    const resumed = await open(`${url}/events/t`, { lastEventId: stream.messages[0]!.lastEventId });
    expect(await resumed.messagesUpTo(2)).toEqual([2, 3]);
    resumed.close();
  });
});

describe('the network and other nodes', () => {
  it('R11: a replay that is larger than the socket takes waits for drain, and memory stays flat', async () => {
    const { url, sse } = await startPlain({ maxHistorySize: 10_000, maxHistoryBytes: 256 * 1024 * 1024 }, () => ({
      since: 0,
    }));
    const payload = 'x'.repeat(10_000);
    for (const n of numbers(1, 3_000)) sse.broadcast('t', 'n', { n, payload });
    const stream = await open(`${url}/events/t`);
    stream.response.pause();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { bytes } = sse.stats();
    expect(bytes).toBeLessThan(15_000_000);
    stream.response.resume();
    await stream.until(() => stream.messages.length >= 3_000);
    expect(stream.messages.map(({ data }) => (JSON.parse(data) as { n: number }).n)).toEqual(numbers(1, 3_000));
    expect(resets(stream)).toEqual([]);
    stream.close();
  });

  it('R14: an event that the network cut in half arrives again after the reconnect, once', async () => {
    const { url, sse } = await startPlain();
    const first = await open(`${url}/events/t`);
    await opened(first);
    const payload = 'y'.repeat(400_000);
    first.response.pause();
    sse.broadcast('t', 'n', { n: 1 });
    sse.broadcast('t', 'n', { n: 2, payload });
    await turn();
    first.response.resume();
    await first.messagesUpTo(1);
    first.close();
    const got = first.messages.map(({ data }) => (JSON.parse(data) as { n: number }).n);
    const second = await open(`${url}/events/t`, { lastEventId: first.lastEventId });
    await second.until(() => got.length + second.messages.length >= 2);
    got.push(...second.messages.map(({ data }) => (JSON.parse(data) as { n: number }).n));
    expect(got).toEqual([1, 2]);
    second.close();
  });

  it('R17: a client that moves to a node which has read less waits there: nothing twice, nothing lost, no reset', async () => {
    const log = new MemoryBackplane();
    const late = new LaggingBackplane(log);
    const fast = await startPlain({ backplane: log });
    const slow = await startPlain({ backplane: late });
    await Promise.all([fast.sse.start(), slow.sse.start()]);
    const first = await open(`${fast.url}/events/t`);
    await opened(first);
    publish(fast.sse, 't', 1, 2);
    await first.messagesUpTo(2);
    late.hold();
    publish(fast.sse, 't', 3, 5);
    await first.messagesUpTo(5);
    first.close();
    const second = await open(`${slow.url}/events/t`, { lastEventId: first.lastEventId });
    await turn();
    publish(fast.sse, 't', 6, 7);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(second.events).toEqual([]);
    late.release();
    expect((await opened(second)).resumed).toBe('full');
    expect(await second.messagesUpTo(2)).toEqual([6, 7]);
    expect(resets(second)).toEqual([]);
    second.close();
  });

  it('R17: a cursor of our epoch beyond the end of the log is another history', async () => {
    const { url, sse } = await startPlain();
    const first = await open(`${url}/events/t`);
    await opened(first);
    publish(sse, 't', 1, 1);
    await first.messagesUpTo(1);
    first.close();
    const beyond = first.lastEventId.replace(/~([0-9a-z]+)-0$/, (_, ms: string) => `~z${ms.slice(1)}-0`);
    expect(beyond).not.toBe(first.lastEventId);
    const second = await open(`${url}/events/t`, { lastEventId: beyond });
    expect((await opened(second)).resumed).toBe('reset');
    await second.messagesUpTo(1);
    expect(resets(second)).toEqual([{ reason: 'diverged', topics: ['t'] }]);
    second.close();
  });

  it('R18: filter, except and exceptGroup hold in replay as they did live', async () => {
    const { url, sse } = await startPlain({}, () => ({
      group: 'g',
      filter: (event) => event.metadata?.['secret'] !== true,
    }));
    const live = await open(`${url}/events/t`);
    const { lastEventId } = await live.next();
    sse.broadcast({ topic: 't', event: 'n', data: 1 });
    sse.broadcast({ topic: 't', event: 'n', data: 2, metadata: { secret: true } });
    sse.broadcast({ topic: 't', event: 'n', data: 3 }, { exceptGroup: 'g' });
    sse.broadcast({ topic: 't', event: 'n', data: 4 }, { exceptGroup: 'other', except: ['nobody'] });
    expect(await live.messagesUpTo(2)).toEqual([1, 4]);
    live.close();
    const replay = await open(`${url}/events/t`, { lastEventId });
    publish(sse, 't', 5, 5);
    expect(await replay.messagesUpTo(3)).toEqual([1, 4, 5]);
    replay.close();
  });
});
