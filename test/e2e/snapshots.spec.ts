import { setImmediate as turn } from 'node:timers/promises';

import { Controller, Get, Inject, Param } from '@nestjs/common';
import { describe, expect, it } from '@jest/globals';
import { type Backplane, MemoryBackplane, SSEService } from 'nestjs-sse-hub';
import { TestLog } from 'nestjs-sse-hub/testing';

import { returnToBaseline } from '../support/baseline.js';
import { type Platform, platforms, type RunningApp, startApp } from '../support/platforms.js';
import { open } from '../support/readers/event-stream.js';
import { direct } from '../support/stream-controllers.js';

returnToBaseline();

const TRIALS = 1_000;
const TRIALS_ON_TWO_NODES = 250;
const AT_ONCE = 20;
const STREAMS = direct.controller();

/** A number for each counter, which every write makes one larger and tells of. */
class Counters {
  readonly #values = new Map<string, number>();

  read(name: string): number {
    return this.#values.get(name) ?? 0;
  }

  /** What a database and an application do: store, then publish. */
  async write(name: string, sse: SSEService): Promise<void> {
    await turn();
    const value = this.read(name) + 1;
    this.#values.set(name, value);
    await turn();
    sse.broadcast(`counter:${name}`, 'counted', value);
  }
}

/** As long as a database may take. */
async function query(): Promise<void> {
  for (let turns = Math.random() * 8; turns > 0; turns--) await turn();
}

interface Snapshot {
  readonly cursor: string;
  readonly value: number;
}

function start(platform: Platform, counters: Counters, backplane: Backplane): Promise<RunningApp> {
  @Controller()
  class SnapshotController {
    constructor(@Inject(SSEService) private readonly sse: SSEService) {}

    @Get('counters/:name')
    async counter(@Param('name') name: string): Promise<Snapshot> {
      const cursor = this.sse.cursor();
      await query();
      return { cursor, value: counters.read(name) };
    }
  }
  return startApp(platform, {
    config: { backplane, maxClients: Infinity },
    controllers: [SnapshotController, STREAMS],
  });
}

/** Reads a snapshot here and follows it there, while somebody writes. Answers with what there is to complain about. */
async function tryOnce(name: string, counters: Counters, here: RunningApp, there: RunningApp): Promise<string[]> {
  let done = false;
  const writing = (async () => {
    for (let i = 0; !done; i++) await counters.write(name, i % 2 ? here.sse : there.sse);
  })();
  const { cursor, value } = (await (await fetch(`${here.url}/counters/${name}`)).json()) as Snapshot;
  const stream = await open(`${there.url}/events/counter:${name}?lastEventId=${cursor}`);
  done = true;
  await writing;
  const last = counters.read(name);
  await stream.until(() => stream.data.at(-1) === last);
  stream.close();
  const numbers = stream.data as number[];
  const first = numbers[0]!;
  const expected = Array.from({ length: last + 1 - first }, (_, i) => first + i);
  return [
    ...(first > value + 1 ? [`${name}: the snapshot had ${value}, and the stream began with ${first}`] : []),
    ...(String(numbers) === String(expected) ? [] : [`${name}: the stream had ${numbers.join(', ')}`]),
    ...(stream.ofType('sse.reset').length > 0 ? [`${name}: the stream was reset`] : []),
  ];
}

async function tryOften(trials: number, counters: Counters, here: RunningApp, there: RunningApp): Promise<string[]> {
  const complaints: string[] = [];
  for (let n = 0; n < trials; n += AT_ONCE) {
    const names = Array.from({ length: AT_ONCE }, (_, i) => String(n + i));
    complaints.push(...(await Promise.all(names.map((name) => tryOnce(name, counters, here, there)))).flat());
  }
  return complaints;
}

for (const platform of platforms) {
  describe(`a snapshot and the stream behind it on ${platform.name}`, () => {
    it('miss nothing between them, however many write', async () => {
      const counters = new Counters();
      const app = await start(platform, counters, new MemoryBackplane());
      expect(await tryOften(TRIALS, counters, app, app)).toEqual([]);
    });

    for (const late of ['the one with the snapshot', 'the one with the stream']) {
      it(`miss nothing on two nodes, of which ${late} reads late`, async () => {
        const counters = new Counters();
        const log = new TestLog();
        const lagging = log.node();
        const views = late === 'the one with the snapshot' ? [lagging, log.node()] : [log.node(), lagging];
        const [here, there] = await Promise.all(views.map((view) => start(platform, counters, view)));
        lagging.hold();
        const reading = setInterval(() => {
          lagging.release();
          lagging.hold();
        }, 7);
        try {
          expect(await tryOften(TRIALS_ON_TWO_NODES, counters, here!, there!)).toEqual([]);
        } finally {
          clearInterval(reading);
          lagging.release();
        }
      });
    }
  });
}
