import { randomUUID } from 'node:crypto';

import { afterAll, describe, it } from '@jest/globals';
import { MemoryBackplane } from 'nestjs-sse-hub';
import { NatsBackplane } from 'nestjs-sse-hub/nats';
import { RedisBackplane } from 'nestjs-sse-hub/redis';
import { backplaneContract, type ContractSubject, TestLog } from 'nestjs-sse-hub/testing';

import { findNats } from '../support/brokers/nats-server.js';
import { findRedis } from '../support/brokers/redis-server.js';

interface Candidate {
  readonly name: string;
  readonly retains: boolean;
  /** `undefined` where its broker is not there. */
  readonly make: (() => ContractSubject) | undefined;
}

const [redis, nats] = await Promise.all([findRedis(), findNats()]);
afterAll(() => Promise.all([redis?.stop(), nats?.stop()]));

const candidates: readonly Candidate[] = [
  {
    name: 'memory',
    retains: false,
    make: () => {
      const log = new MemoryBackplane();
      return { node: () => log };
    },
  },
  {
    name: 'memory for tests',
    retains: true,
    make: () => {
      const log = new TestLog();
      return { node: () => log };
    },
  },
  {
    name: 'memory for tests, with faults to inject',
    retains: true,
    make: () => {
      const log = new TestLog();
      return { node: () => log.node() };
    },
  },
  {
    name: 'Redis',
    retains: true,
    make:
      redis &&
      (() => {
        const options = { url: redis.url, prefix: `test-${randomUUID()}` };
        return { node: () => new RedisBackplane(options), dispose: () => redis.forget(options.prefix) };
      }),
  },
  {
    name: 'NATS JetStream',
    retains: true,
    make:
      nats &&
      (() => {
        const options = { servers: nats.url, prefix: `test-${randomUUID()}` };
        return { node: () => new NatsBackplane(options), dispose: () => nats.forget(options.prefix) };
      }),
  },
];

for (const { name, make, retains } of candidates) {
  (make ? describe : describe.skip)(`the backplane in ${name}`, () => {
    for (const check of backplaneContract({ retains })) it(check.name, () => check.run(make!));
  });
}
