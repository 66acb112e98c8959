import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Backplane } from 'nestjs-sse-hub';

import { formatCursor } from '../../../src/protocol/cursor.js';
import { until } from '../../support/baseline.js';
import { type Broker, brokerKinds } from '../../support/brokers/brokers.js';
import { LogRecorder } from '../../support/brokers/log-recorder.js';
import { BrokerProxy } from '../../support/network/broker-proxy.js';
import { event } from '../../support/test-hub.js';

/** Where the connection of a publisher is cut, in bytes of its batch on the way to the broker, or of the answer to it. */
const BOUNDARIES = [
  { up: 0 },
  { up: 1 },
  { up: 120 },
  { up: 0.5 },
  { up: -1 },
  { down: 0 },
  { down: 1 },
  { down: 20 },
] as const;

interface Node {
  readonly log: Backplane;
  readonly proxy: BrokerProxy;
  readonly reader: LogRecorder;
}

for (const kind of brokerKinds) {
  (kind.isInstalled ? describe : describe.skip)(`batches on their way to ${kind.name}`, () => {
    let broker: Broker;
    const nodes: Node[] = [];

    async function start(): Promise<Node> {
      const proxy = await BrokerProxy.start(broker.port);
      const node = { proxy, log: broker.backplane({ port: proxy.port }), reader: new LogRecorder() };
      nodes.push(node);
      await node.log.start(node.reader);
      return node;
    }

    beforeAll(async () => {
      broker = await kind.start({ persistent: false });
    });
    afterAll(async () => {
      for (const { log, reader, proxy } of nodes) {
        await log.close(reader);
        await proxy.close();
      }
      await broker.remove();
    });

    it('B6: are stored once and in order, each as a whole, wherever the connection is cut', async () => {
      const publishers = [await start(), await start()];
      const places = new Map<string, string>();
      const wanted: string[][] = publishers.map(() => []);
      let round = 0;
      for (const boundary of BOUNDARIES) {
        for (const size of [1, 2, 1_000]) {
          const appended: Promise<void>[] = [];
          for (const [i, { log, proxy }] of publishers.entries()) {
            // Both are in trouble at a time, each at another place.
            const at = i === 0 ? boundary : BOUNDARIES[(round + 3) % BOUNDARIES.length]!;
            proxy.cutBatch(kind.said.appending, at);
            for (let n = 0; n < size; n++) {
              const data = `${i}/${round}/${n}`;
              wanted[i]!.push(data);
              const place = log.append(event(data), 'queue');
              appended.push(place.then(({ epoch, position }) => void places.set(data, formatCursor(epoch, position))));
            }
          }
          await Promise.all(appended);
          round++;
        }
      }
      const total = wanted.flat().length;
      for (const { reader, proxy } of publishers) {
        await until('everything has come', () => reader.entries.length >= total);
        expect(proxy.cuts).toBeGreaterThan(BOUNDARIES.length);
        for (const [i, data] of wanted.entries()) {
          expect(reader.data.filter((text) => text.startsWith(`${i}/`))).toEqual(data);
        }
        const delivered = reader.entries.map(({ epoch, position }) => formatCursor(epoch, position));
        expect(reader.data.map((data) => places.get(data))).toEqual(delivered);
        expect(reader.epochs).toHaveLength(1);
      }
      const late = await start();
      await until('everything has come', () => late.reader.entries.length >= total);
      expect(late.reader.entries).toEqual(publishers[0]!.reader.entries);
    });
  });
}
