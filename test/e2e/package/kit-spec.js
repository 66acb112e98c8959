// The test kit in Jest and in Vitest: TypeScript that needs no types.
import { Test } from '@nestjs/testing';
import { SSEService } from 'nestjs-sse-hub';
import { openStream, TestLog } from 'nestjs-sse-hub/testing';

import { AppModule } from './../src/app.module';

const clock =
  typeof vi === 'undefined'
    ? {
        start: () =>
          jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'] }),
        advance: (ms) => jest.advanceTimersByTimeAsync(ms),
        stop: () => jest.useRealTimers(),
      }
    : {
        start: () => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] }),
        advance: (ms) => vi.advanceTimersByTimeAsync(ms),
        stop: () => vi.useRealTimers(),
      };

describe('the test kit', () => {
  let app;

  beforeEach(async () => {
    clock.start();
    const moduleFixture = await Test.createTestingModule({ imports: [AppModule] }).compile();
    app = moduleFixture.createNestApplication();
  });

  afterEach(async () => {
    clock.stop();
    await app.close();
  });

  it('reads, leaves, comes back, and says what came instead', async () => {
    const stream = await openStream(app, '/events', { timeout: 500 });
    const sse = app.get(SSEService);
    sse.broadcast('news', 'numbered', { i: 1 });
    expect((await stream.next('numbered')).data).toEqual({ i: 1 });
    stream.cut();
    sse.broadcast('news', 'numbered', { i: 2 });
    await stream.resume();
    expect(stream.opened.resumed).toBe('full');
    expect((await stream.next()).data).toEqual({ i: 2 });
    sse.broadcast('news', 'other', { i: 3 });
    await expect(stream.next('numbered')).rejects.toThrow(
      `waited 500 ms for 'numbered'; what came: 'other' {"i":3}; the stream is open`,
    );
    await expect(openStream(app, '/nowhere')).rejects.toMatchObject({ status: 404 });
  });

  it('moves time on, while streams are real', async () => {
    const stream = await openStream(app, '/events');
    await clock.advance(40_000);
    expect(await stream.comment()).toBe('');
  });

  it('has logs for several nodes', async () => {
    const log = new TestLog();
    const node = log.node();
    const [one, two] = [new SSEService({ backplane: node }), new SSEService({ backplane: log })];
    const seen = [];
    two.observe('news').subscribe(({ data }) => seen.push(data));
    node.down();
    await expect(one.publish('news', 'numbered', 1)).rejects.toMatchObject({ code: 'BACKPLANE_UNAVAILABLE' });
    node.up();
    one.broadcast('news', 'numbered', 2);
    expect(seen).toEqual([2]);
    await Promise.all([one.shutdown(), two.shutdown()]);
  });
});
