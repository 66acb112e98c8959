import { Agent } from 'node:http';

import { expect, it } from '@jest/globals';

import { until } from '../../support/baseline.js';
import { onEveryNest } from '../../support/processes/nest-versions.js';

/** What applications put around `stream()`, `@EventStream()` and `addClient()`, in every place that Nest has for it. */

const HANDLERS = [
  ...['plain', 'async', 'deferred', 'promised', 'timed', 'merged', 'kept'],
  ...['followed/plain', 'followed/async', 'followed/deferred', 'followed/timed'],
];
const WEB_HANDLERS = ['web/plain', 'web/async', 'web/deferred', 'web/timed'];
const INTERCEPTORS = ['passing', 'async', 'subscribing', 'deferring', 'switching', 'cls'];
const PLACES = ['before', 'after', 'global', 'controller'];

function paths(handlers: readonly string[]): string[] {
  const around = PLACES.flatMap((place) => INTERCEPTORS.map((name) => `place=${place}&with=${name}`));
  return handlers.flatMap((handler) => [
    `api/v1/matrix/${handler}`,
    `api/v1/matrix/${handler}?forget`,
    `api/v1/matrix/${handler}?forget&place=global&with=subscribing`,
    `outside/${handler}`,
    `api/scoped/${handler}`,
    ...around.map((query) => `api/v1/matrix/${handler}?${query}`),
  ]);
}

onEveryNest('matrix', (app) => {
  const streams = app.version === 'Nest 11' ? paths(HANDLERS) : paths([...HANDLERS, ...WEB_HANDLERS]);

  it('N1, N2: whoever comes back gets all it has missed, whatever is around the handler', async () => {
    const first = await Promise.all(streams.map((path) => app.open(path)));
    await Promise.all(first.map((stream) => stream.until(() => stream.ofType('sse.open').length === 1)));
    await app.broadcast('t', 1);
    await Promise.all(first.map((stream) => stream.messagesUpTo(1)));
    for (const stream of first) stream.close();
    await app.untilAllHaveLeft();
    await app.broadcast('t', 3);
    const again = await Promise.all(streams.map((path, i) => app.open(path, { lastEventId: first[i]!.lastEventId })));
    const lost: string[] = [];
    for (const [i, stream] of again.entries()) {
      const { data } = await stream.next();
      if (!data.includes('"resumed":"full"')) lost.push(`${streams[i]}: ${data}`);
    }
    expect(lost).toEqual([]);
    for (const stream of again) {
      expect((await stream.messagesUpTo(3)).map((message) => (message as { n: number }).n)).toEqual([1, 2, 3]);
      stream.close();
    }
    await app.untilAllHaveLeft();
    expect(await app.logged()).toEqual([]);
  });

  it('N1: what is not read waits in the log, and not in the process', async () => {
    const total = 400;
    const asked = [
      ...['plain', 'kept'].map((handler) => `api/v1/matrix/${handler}?place=global&with=subscribing`),
      ...['async', 'cls', 'switching'].map((name) => `api/v1/matrix/deferred?place=before&with=${name}`),
    ];
    const readers = await Promise.all(asked.map((path) => app.open(path)));
    await Promise.all(readers.map((stream) => stream.until(() => stream.ofType('sse.open').length === 1)));
    for (const { response } of readers) response.pause();
    const { delivered: before } = await app.stats();
    await app.broadcast('t', total, 64 * 1024);
    let delivered = -1;
    await until('no more is taken', async () => {
      const last = delivered;
      ({ delivered } = await app.stats());
      await new Promise((resolve) => setTimeout(resolve, 200));
      return last === delivered;
    });
    expect(delivered - before).toBeLessThan((total * readers.length) / 2);
    for (const { response } of readers) response.resume();
    for (const stream of readers) {
      const received = (await stream.messagesUpTo(total)) as { n: number }[];
      expect(received.map(({ n }) => n)).toEqual(Array.from({ length: total }, (_, i) => i + 1));
      expect(stream.ofType('sse.reset')).toEqual([]);
      stream.close();
    }
    await app.untilAllHaveLeft();
  });

  it('N1: createClient() in an @Sse() handler is INVALID_ROUTE, wherever it is called from', async () => {
    const answers = await Promise.all(
      paths(['mistaken']).map(async (path) => {
        const answer = await fetch(app.url(path));
        return [path, await answer.text()] as const;
      }),
    );
    // Behind an interceptor that waits, Nest has begun with the answer, and puts it there.
    expect(answers.filter(([, text]) => !text.includes('createClient() was called in a handler of @Sse()'))).toEqual(
      [],
    );
    expect((await app.stats()).clients).toBe(0);
    const [line] = await app.logged();
    expect(line?.text).toMatch(/createClient\(\) was called in a handler of @Sse\(\)/);
  });

  it('N1: an application that closes does not wait for connections that it could close', async () => {
    const agent = new Agent({ keepAlive: true });
    const open = await Promise.all(streams.map((path) => app.open(path, { agent })));
    await Promise.all(open.map((stream) => stream.until(() => stream.ofType('sse.open').length === 1)));
    await app.close();
    for (const stream of open) expect(stream.ended).toBe(true);
    agent.destroy();
  });
});
