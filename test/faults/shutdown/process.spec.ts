import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../../support/baseline.js';
import { neverReading } from '../../support/network/stuck.js';
import { platforms } from '../../support/platforms.js';
import { buildSample, buildStandalone, Program, Standalone } from '../../support/processes/standalone.js';
import type { EventStream } from '../../support/readers/event-stream.js';

const bench = returnToBaseline();

interface Notification {
  readonly notification: { readonly text: string };
}

describe('a process of its own', () => {
  let built: Awaited<ReturnType<typeof buildStandalone>>;

  beforeAll(async () => {
    built = await buildStandalone();
  });

  afterAll(() => built.remove());

  function run(what: string): Standalone {
    const standalone = new Standalone(built.folder, what);
    bench.onEnd(() => standalone.kill());
    return standalone;
  }

  it('S3: a hub that nobody shuts down keeps no process alive', async () => {
    const standalone = run('bare');
    expect(await standalone.ended()).toEqual({ code: 0, signal: null });
    expect(standalone.messages).toEqual([{ seen: 10, clients: 1 }]);
    expect(standalone.stderr).toBe('');
  });

  for (const { name } of platforms) {
    it(`S3: after app.close() on ${name}, called three times, the process exits by itself`, async () => {
      const standalone = run(name);
      const url = (await standalone.said('url')) as string;
      const streams: EventStream[] = [];
      for (const route of ['direct', 'stream', 'web']) {
        for (let i = 0; i < 5; i++) streams.push(await bench.connect(`${url}/${route}/a`));
      }
      standalone.signal('SIGUSR2');
      await standalone.said('closed');
      expect(await standalone.ended()).toEqual({ code: 0, signal: null });
      for (const stream of streams) {
        await stream.untilEnd();
        expect(stream.response.complete).toBe(true);
      }
      expect(standalone.messages.at(-1)).toEqual({ closed: true, clients: 0 });
      expect(standalone.messages.filter((message) => 'trouble' in message)).toEqual([]);
      expect(standalone.stderr).toBe('');
    });

    it(`S2: SIGTERM twice on ${name} drains the streams once, and the process ends by that signal`, async () => {
      const standalone = run(name);
      const url = (await standalone.said('url')) as string;
      const streams: EventStream[] = [];
      for (const route of ['direct', 'stream', 'web']) streams.push(await bench.connect(`${url}/${route}/a`));
      const stuck = await neverReading(bench, `${url}/direct/a`);
      standalone.signal('SIGTERM');
      await delay(10);
      standalone.signal('SIGTERM');
      expect(await standalone.ended()).toEqual({ code: null, signal: 'SIGTERM' });
      stuck.destroy();
      for (const stream of streams) {
        await stream.untilEnd();
        expect(stream.response.complete).toBe(true);
        expect(stream.retries).toHaveLength(2);
      }
      expect(standalone.stderr).toBe('');
    });
  }
});

describe('the sample application in a process of its own', () => {
  let built: Awaited<ReturnType<typeof buildSample>>;

  beforeAll(async () => {
    built = await buildSample();
  });

  afterAll(() => built.remove());

  /** Posts one notification after the other until nobody answers any more; which ones were accepted. */
  async function postNotifications(url: string): Promise<string[]> {
    const accepted: string[] = [];
    for (let n = 0; ; n++) {
      const text = String(n);
      const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text }) };
      const status = await fetch(`${url}/notifications`, post).then(
        (response) => response.status,
        () => 0,
      );
      if (status === 0) return accepted;
      if (status === 201) accepted.push(text);
    }
  }

  function textsOf(stream: EventStream): string[] {
    const notifications = stream.ofType('notification').map(({ data }) => JSON.parse(data) as Notification);
    return notifications.map(({ notification }) => notification.text);
  }

  for (const platform of ['express', 'fastify']) {
    it(`S2: SIGTERM twice under load on ${platform} ends every stream properly, with all that was accepted`, async () => {
      const program = new Program(join(built.folder, 'sample-app', 'dist', 'main.js'), [], {
        PORT: '0',
        PLATFORM: platform,
        REDIS_URL: '',
        NATS_URL: '',
      });
      bench.onEnd(() => program.kill());
      const [, port] = await program.printed(/http:\/\/localhost:(\d+)/);
      const url = `http://127.0.0.1:${port}`;
      const notified: EventStream[] = [];
      for (let i = 0; i < 5; i++) notified.push(await bench.connect(`${url}/notifications/events`));
      const others: EventStream[] = [];
      for (const path of ['/dashboard/events?user=7', '/documents/handbook/events?user=7'])
        others.push(await bench.connect(url + path));

      const posted = postNotifications(url);
      await notified[0]!.until(() => textsOf(notified[0]!).length > 20);
      program.signal('SIGTERM');
      await delay(10);
      program.signal('SIGTERM');
      expect(await program.ended()).toEqual({ code: null, signal: 'SIGTERM' });
      const accepted = await posted;
      expect(accepted.length).toBeGreaterThan(20);
      for (const stream of [...notified, ...others]) {
        await stream.untilEnd();
        expect(stream.response.complete).toBe(true);
        expect(stream.raw).toMatch(/event: sse\.cursor\nid: 1~\w+~\w+-\w+\nretry: \d+\ndata: \{\}\n\n$/);
      }
      for (const stream of notified) {
        // One more may have been published whose answer did not get out in time.
        expect(textsOf(stream).slice(0, accepted.length)).toEqual(accepted);
      }
      expect(program.stderr).toBe('');
    });
  }
});
