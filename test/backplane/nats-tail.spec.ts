import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { LogEntry } from 'nestjs-sse-hub';
import { NatsBackplane } from 'nestjs-sse-hub/nats';

import { encodeBatch } from '../../src/backplane/broker/batch.js';
import { encodeEntry } from '../../src/protocol/entry.js';
import { until } from '../support/baseline.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';
import { NatsServer } from '../support/brokers/nats-server.js';
import { isInstalled } from '../support/brokers/server-process.js';
import { event } from '../support/test-hub.js';

const LARGE = 'x'.repeat(1_000_000);
/** What waits for a connection that does not read them is three times what the server keeps for it, 64 MiB. */
const MANY = 200;

/** Has much to do with every piece that comes. */
class BusyReader extends LogRecorder {
  override deliver(entries: readonly LogEntry[]): void {
    super.deliver(entries);
    for (const end = performance.now() + 20; performance.now() < end;);
  }
}

((await isInstalled('nats-server')) ? describe : describe.skip)('a log with large entries, in a NATS server', () => {
  const endings: (() => unknown)[] = [];
  let server: NatsServer;

  beforeEach(async () => {
    server = await NatsServer.start({ persistent: false, limits: [] });
    endings.push(() => server.remove());
    // It makes the stream.
    const log = new NatsBackplane({ servers: server.url });
    const reader = new LogRecorder();
    await log.start(reader);
    await log.close(reader);
  });
  afterEach(async () => {
    for (const end of endings.splice(0).toReversed()) await end();
  });

  async function store(texts: readonly string[]): Promise<void> {
    const batches = texts.map((text) => encodeBatch([encodeEntry(event(text))]));
    await server.run(async (jsm) => {
      const js = jsm.jetstream();
      for (const [n, text] of batches.entries()) await js.publish('sse.log', text, { msgID: `abcdefghijkl-${n}.1` });
    });
  }

  /** How many connections it takes a busy node to read so many. */
  async function connectionsToRead(entries: number): Promise<number> {
    const before = await server.connections();
    const log = new NatsBackplane({ servers: server.url });
    const reader = new BusyReader();
    endings.push(() => log.close(reader));
    await log.start(reader);
    await until('all is read', () => reader.entries.length === entries);
    return (await server.connections()) - before;
  }

  it('is read without being cut off', async () => {
    await store(Array.from({ length: MANY }, () => LARGE));
    expect(await connectionsToRead(MANY)).toBe(1);
  });

  it('is read without being cut off over and over when nothing showed that they would come', async () => {
    const small = Array.from({ length: 3_000 }, () => 'x');
    await store([...small, ...Array.from({ length: MANY }, () => LARGE)]);
    expect(await connectionsToRead(small.length + MANY)).toBeLessThanOrEqual(2);
  });
});
