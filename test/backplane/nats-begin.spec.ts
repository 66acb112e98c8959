import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { SharedConnection } from '../../src/backplane/broker/shared-connection.js';
import { type Connection, shareConnection } from '../../src/backplane/nats/connection.js';
import { NatsLog } from '../../src/backplane/nats/log.js';
import { resolveNatsOptions } from '../../src/backplane/nats/options.js';
import { NatsServer } from '../support/brokers/nats-server.js';
import { isInstalled } from '../support/brokers/server-process.js';
import { seededRandom } from '../support/seed.js';

const NODES = 6;
const ROUNDS = 60;
/** Milliseconds between the first node and the last. */
const SPREAD = 8;

((await isInstalled('nats-server')) ? describe : describe.skip)('a log in NATS that begins', () => {
  let server: NatsServer;
  let nodes: SharedConnection<Connection>[];

  beforeAll(async () => {
    server = await NatsServer.start({ persistent: false });
    nodes = Array.from({ length: NODES }, () => shareConnection({ servers: server.url }));
  });

  afterAll(async () => {
    for (const node of nodes) node.drop();
    await server.remove();
  });

  it('has one epoch, however many nodes come at once, and the server survives it', async () => {
    const random = seededRandom();
    const connections = await Promise.all(nodes.map((node) => node.open()));
    for (let round = 0; round < ROUNDS; round++) {
      const prefix = `test-${randomUUID()}`;
      const epochOf = async (connection: Connection): Promise<string> => {
        await delay(random() * SPREAD);
        const log = new NatsLog(resolveNatsOptions({ prefix }), () => {});
        return (await log.head(connection)).epoch;
      };
      const epochs = await Promise.all(connections.map(epochOf));
      epochs.push(await epochOf(connections[0]!));
      expect(new Set(epochs).size).toBe(1);
    }
    expect(connections.map(({ alive }) => alive)).toEqual(connections.map(() => true));
  });
});
