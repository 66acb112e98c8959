import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';

import { type Broker, type BrokerKind, brokerKinds } from '../../support/brokers/brokers.js';
import { RecordedLogger } from '../../support/recorded-logger.js';

function rows(kind: BrokerKind): void {
  let broker: Broker;
  let logger: RecordedLogger;

  beforeEach(async () => {
    logger = new RecordedLogger();
    Logger.overrideLogger(logger);
    broker = await kind.start({ persistent: false });
  });

  afterEach(async () => {
    Logger.overrideLogger(['error', 'fatal']);
    await broker.remove();
  });

  async function start(): Promise<SSEService> {
    const sse = new SSEService({ backplane: broker.backplane({ publishTimeout: 60_000 }), drainTimeout: 100 });
    await sse.start();
    await sse.publish('t', 'n', 0);
    return sse;
  }

  for (const state of ['frozen', 'dead'] as const) {
    it(`S2: a node that shuts down while the broker is ${state} says how many broadcasts are lost, and counts them`, async () => {
      const sse = await start();
      await (state === 'frozen' ? broker.freeze() : broker.kill());
      try {
        for (let n = 1; n <= 20; n++) sse.broadcast('t', 'n', n);
        sse.closeTopic('t');
        const published = sse.publish('other', 'n', 1).catch((error: unknown) => error);
        await sse.shutdown();
        expect(await published).toMatchObject({ code: 'BACKPLANE_UNAVAILABLE' });
        // Before the process ends, so not later.
        expect(logger.ofHub('error')).toEqual([expect.stringMatching(/^21 of the events and marks .* are lost: /)]);
        expect(sse.stats()).toMatchObject({ dropped: 21, publishFailures: 21 });
      } finally {
        if (state === 'frozen') broker.thaw();
      }
    });
  }

  it('S2: a node that shuts down with broadcasts on their way stores them, and has nothing to say', async () => {
    const sse = await start();
    for (let n = 1; n <= 20; n++) sse.broadcast('t', 'n', n);
    await sse.shutdown();
    expect(await broker.entries()).toBe(21);
    expect(logger.lines.filter(({ level }) => level !== 'log')).toEqual([]);
    expect(sse.stats()).toMatchObject({ dropped: 0, publishFailures: 0 });
  });
}

for (const kind of brokerKinds) {
  (kind.isInstalled ? describe : describe.skip)(`shutting down on ${kind.name}`, () => rows(kind));
}
