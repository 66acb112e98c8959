import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Cluster, Redis } from 'ioredis';
import { type Backplane, SSEService } from 'nestjs-sse-hub';
import { RedisBackplane, type RedisBackplaneOptions } from 'nestjs-sse-hub/redis';

import { readEntry } from '../../src/backplane/redis/entry.js';
import { formatId } from '../../src/backplane/redis/keys.js';
import { until } from '../support/baseline.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';
import { RedisServer } from '../support/brokers/redis-server.js';
import { isInstalled } from '../support/brokers/server-process.js';
import { Proxy } from '../support/network/proxy.js';
import { event } from '../support/test-hub.js';

const isThere = await isInstalled('redis-server');

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => String(from + i));
}

describe('the options of RedisBackplane', () => {
  for (const [options, message] of [
    [{ url: 'localhost' }, /`url` is "localhost"; it has to be a URL like 'redis:/],
    [{ client: {} }, /`client` is .*an ioredis client or cluster/],
    [{ prefix: 'a{b}' }, /`prefix` is "a{b}"; .*without spaces and braces/],
    [{ prefix: '' }, /`prefix`/],
    [{ maxLength: 0 }, /`maxLength` is 0; it has to be a whole number of entries/],
    [{ maxAge: -1 }, /`maxAge` is -1/],
    [{ publishTimeout: 1.5 }, /`publishTimeout` is 1.5; .*milliseconds/],
    [{ maxPending: Infinity }, /`maxPending` is Infinity/],
    [{ maxPendingBytes: '1' }, /`maxPendingBytes` is "1"/],
    [{ maxEntryBytes: 10 }, /`maxEntryBytes` is 10; .*from 1024/],
    [{ maxLenght: 5 }, /no option `maxLenght` \(5\)\. The options are: url, /],
    [{ url: 'redis://x', client: { duplicate: () => {} } }, /no effect beside `client`/],
  ] as [object, RegExp][]) {
    it(`are refused when they make no sense: ${JSON.stringify(options)}`, () => {
      expect(() => new RedisBackplane(options as RedisBackplaneOptions)).toThrow(message);
    });
  }

  it('need not be given', () => {
    expect(new RedisBackplane().status).toBe('down');
    expect(new RedisBackplane({ url: 'rediss://user:secret@host:6380/1' }).kind).toBe('redis');
  });
});

(isThere ? describe : describe.skip)('RedisBackplane', () => {
  let server: RedisServer;
  let prefix = '';
  const started: [Backplane, LogRecorder][] = [];

  beforeAll(async () => {
    server = await RedisServer.start({ persistent: false });
  });
  afterAll(() => server.remove());
  afterEach(async () => {
    for (const [log, reader] of started.splice(0)) await log.close(reader);
  });

  async function start(options: RedisBackplaneOptions = {}): Promise<{ log: RedisBackplane; reader: LogRecorder }> {
    const log = new RedisBackplane({ ...(options.client ? {} : { url: server.url }), prefix, ...options });
    const reader = new LogRecorder();
    started.push([log, reader]);
    await log.start(reader);
    return { log, reader };
  }

  beforeEach(() => {
    prefix = randomUUID();
  });

  /** Lets a user of its own do everything but what the rules forbid, and answers with its URL. */
  async function allow(name: string, ...rules: string[]): Promise<string> {
    const user = [name, 'on', '>secret', '~*', '+@all', ...rules];
    await server.run((redis) => redis.call('ACL', 'SETUSER', ...user));
    return server.url.replace('//', `//${name}:secret@`);
  }

  it('keeps all its keys in one slot of a cluster', async () => {
    const { log } = await start();
    await log.append(event('0'), 'timeout');
    const keys = await server.run((redis) => redis.keys('*'));
    const own = keys.filter((key) => key.includes(prefix));
    expect(own.length).toBeGreaterThanOrEqual(3);
    expect(own.every((key) => key.startsWith(`{${prefix}}:`))).toBe(true);
  });

  it('remembers only the last batch of a publisher', async () => {
    const { log } = await start();
    for (let round = 0; round < 5; round++) {
      await Promise.all(numbers(1, 1_000).map((data) => log.append(event(data), 'timeout')));
    }
    await log.append(event('last'), 'timeout');
    const [key] = await server.run((redis) => redis.keys(`{${prefix}}:publisher:*`));
    const remembered = await server.run((redis) => redis.hlen(key!));
    expect(remembered).toBe(3);
    expect(await server.run((redis) => redis.pttl(key!))).toBeGreaterThan(12 * 60 * 60_000);
  });

  /** How many entries are in the log: those of all batches. */
  async function retained(): Promise<number> {
    const batches = await server.run((redis) => redis.xrange(`{${prefix}}:log`, '-', '+'));
    return batches.reduce((sum, [id, fields]) => sum + readEntry(id, fields)!.count, 0);
  }

  for (const [size, together] of Object.entries({
    'one by one': 1,
    'in small batches': 7,
    'in large batches': 1_000,
  })) {
    it(`keeps about as many entries as it is told, when they come ${size}`, async () => {
      const { log, reader } = await start({ maxLength: 1_000 });
      for (let n = 0; n < 3_000; n += together) {
        await Promise.all(numbers(n, n + together - 1).map((data) => log.append(event(data), 'timeout')));
      }
      expect(await retained()).toBeGreaterThanOrEqual(1_000);
      expect(await retained()).toBeLessThan(1_150);
      expect(reader.skippedCount).toBe(0);
      expect(await server.run((redis) => redis.llen(`{${prefix}}:marks`))).toBeLessThanOrEqual(101);
    });
  }

  it('keeps no more for a log whose head was deleted, or that others give less to', async () => {
    const { log } = await start({ maxLength: 10_000 });
    await Promise.all(numbers(1, 5_000).map((data) => log.append(event(data), 'timeout')));
    const { log: frugal } = await start({ maxLength: 1_000 });
    await frugal.append(event('last'), 'timeout');
    expect(await retained()).toBeLessThan(2_100);
    await server.run((redis) => redis.del(`{${prefix}}:head`));
    await Promise.all(numbers(1, 3_000).map((data) => frugal.append(event(data), 'queue')));
    expect(await retained()).toBeLessThan(1_100);
  });

  it('trims all that is too much at once, however many entries of the stream that are', async () => {
    // Redis trims at most a hundred of these at a time, unless it is told otherwise.
    const setting = 'stream-node-max-entries';
    await server.run((redis) => redis.config('SET', setting, 1));
    try {
      const { log } = await start({ maxLength: 100_000 });
      for (const data of numbers(1, 1_000)) await log.append(event(data), 'timeout');
      const { log: frugal } = await start({ maxLength: 10 });
      for (const data of numbers(1, 12)) await frugal.append(event(data), 'timeout');
      expect(await retained()).toBeLessThan(15);
    } finally {
      await server.run((redis) => redis.config('SET', setting, 100));
    }
  });

  it('keeps one mark of a place, however often it could not be taken', async () => {
    const { log } = await start({ maxLength: 10, publishTimeout: 300 });
    await log.append(event('0'), 'timeout');
    // Nothing can be added behind it.
    const [name, top] = [`{${prefix}}:log`, '18446744073709551615-18446744073709551615'];
    await server.run((redis) => redis.xadd(name, top, 'not', 'ours'));
    const kept = log.append(event('1'), 'queue');
    for (let n = 0; n < 5; n++) {
      // Unknown, where it is just on its way when its time is up.
      const rejection = { stored: expect.stringMatching(/^(no|unknown)$/) as unknown };
      await expect(log.append(event('2'), 'timeout')).rejects.toMatchObject(rejection);
    }
    expect(await server.run((redis) => redis.llen(`{${prefix}}:marks`))).toBeLessThanOrEqual(2);
    await server.run((redis) => redis.del(name));
    await kept;
  });

  it('keeps entries for about as long as it is told', async () => {
    const { log } = await start({ maxAge: 300 });
    for (const data of numbers(1, 500)) await log.append(event(data), 'timeout');
    await delay(400);
    await log.append(event('last'), 'timeout');
    expect(await retained()).toBeLessThan(150);
  });

  it('refuses an entry that it would not read', async () => {
    const { log } = await start({ maxEntryBytes: 2_000 });
    await expect(log.append(event('x'.repeat(2_000)), 'queue')).rejects.toMatchObject({
      name: 'BackplaneError',
      stored: 'no',
      message: expect.stringMatching(/is \d+ bytes in Redis; maxEntryBytes is 2000/) as unknown,
    });
  });

  it('passes over an entry that is too large for this node, and keeps its place', async () => {
    const generous = await start();
    const strict = await start({ maxEntryBytes: 2_000 });
    for (const data of ['0', 'x'.repeat(3_000), '2']) await generous.log.append(event(data), 'timeout');
    await until('all have the last', () => [strict, generous].every(({ reader }) => reader.data.includes('2')));
    expect(strict.reader.entries.map(({ entry }) => entry === undefined)).toEqual([false, true, false]);
    const places = ({ reader }: typeof strict): unknown =>
      reader.entries.map(({ position, previous }) => [position, previous]);
    expect(places(strict)).toEqual(places(generous));
  });

  it('serves several hubs, and goes on when one leaves', async () => {
    const { log, reader } = await start();
    const second = new LogRecorder();
    await log.start(second);
    await log.append(event('0'), 'timeout');
    await until('both have it', () => reader.data.length === 1 && second.data.length === 1);
    await log.close(reader);
    await log.append(event('1'), 'timeout');
    await until('the other has it', () => second.data.length === 2);
    expect(reader.data).toEqual(['0']);
    await log.close(second);
    await expect(log.append(event('2'), 'timeout')).rejects.toMatchObject({ stored: 'no' });
    // And begins anew.
    await log.start(reader);
    await log.append(event('3'), 'timeout');
    await until('it is back', () => reader.data.at(-1) === '3');
    await log.close(reader);
  });

  it('leaves a client that was handed in to its owner, open or closed', async () => {
    const client = new Redis(server.url, { keyPrefix: 'own:' });
    const before = await server.run((redis) => redis.call('CLIENT', 'LIST') as Promise<string>);
    const { log, reader } = await start({ client });
    await log.append(event('0'), 'timeout');
    await until('it comes', () => reader.data.length === 1);
    await log.close(reader);
    expect(await client.ping()).toBe('PONG');
    const after = (): Promise<string> => server.run((redis) => redis.call('CLIENT', 'LIST') as Promise<string>);
    await until(
      'its own connections are closed',
      async () => (await after()).split('\n').length <= before.split('\n').length,
    );

    client.disconnect();
    const again = await start({ client });
    await again.log.append(event('1'), 'timeout');
    await until('it comes', () => again.reader.data.includes('1'));
    expect(client.status).toBe('end');
  });

  it('appends again after the server has forgotten the script', async () => {
    const { log, reader } = await start();
    await log.append(event('0'), 'timeout');
    await server.run((redis) => redis.script('FLUSH'));
    await Promise.all(numbers(1, 20).map((data) => log.append(event(data), 'timeout')));
    await until('all have come', () => reader.data.length === 21);
    expect(reader.data).toEqual(numbers(0, 20));
  });

  it('begins another epoch that nodes can read when the log ends before what they have', async () => {
    const { log, reader } = await start();
    const { position } = await log.append(event('0'), 'timeout');
    const lost = await log.append(event('1'), 'timeout');
    await until('both have come', () => reader.data.length === 2);
    await server.run(async (redis) => {
      await redis.xdel(`{${prefix}}:log`, formatId(lost.position));
      await redis.hset(`{${prefix}}:head`, 'last', formatId(position));
    });
    await until('it begins anew', () => reader.epochs.length === 2);
    await until('it is up', () => log.status === 'up' && reader.data.length === 1);
    await log.append(event('2'), 'timeout');
    await delay(1_200);
    expect(reader.epochs).toHaveLength(2);
    expect(reader.data).toEqual(['0', '2']);
  });

  it('stays in one epoch when what stands beside the log was tampered with, and goes on', async () => {
    const { log, reader } = await start();
    await log.append(event('0'), 'timeout');
    const tamper = async (n: number, field: string, value: string): Promise<void> => {
      await server.run((redis) => redis.hset(`{${prefix}}:head`, field, value));
      // Long enough for every reader to have looked at it.
      await delay(1_200);
      await until('it is up', () => log.status === 'up');
      await log.append(event(String(n)), 'timeout');
      await until('it has come', () => reader.data.at(-1) === String(n));
      expect(reader.data).toEqual(numbers(0, n));
    };
    await tamper(1, 'last', 'nonsense');
    await tamper(2, 'last', '');
    expect(new Set(reader.epochs).size).toBe(1);
    await tamper(3, 'epoch', 'NO EPOCH');
    expect(reader.epochs.at(-1)).toMatch(/^[0-9a-z]+$/);
    expect(new Set(reader.epochs).size).toBe(2);
    await tamper(4, 'last', '0-0');
    await tamper(5, 'last', '9999999999999-0');
    expect(new Set(reader.epochs).size).toBe(2);
  });

  it('says at its start which right is missing, when it may not run scripts', async () => {
    const log = new RedisBackplane({ url: await allow('limited', '-@scripting'), prefix });
    const sse = new SSEService({ backplane: log });
    await expect(sse.start()).rejects.toThrow(/right to run scripts.*\(NOPERM.*Allow it EVAL and EVALSHA/);
    await sse.shutdown();
    const url = await allow('limited');
    expect((await start({ url })).log.status).toBe('up');
  });

  it('goes on when a right that was taken away is given back, and says meanwhile what is missing', async () => {
    const { log, reader } = await start({ url: await allow('changing') });
    await log.append(event('0'), 'timeout');
    await allow('changing', '-@scripting');
    const waiting = log.append(event('1'), 'queue');
    await until('it says so', () => reader.warnings.length > 0);
    await allow('changing');
    await waiting;
    await until('it comes', () => reader.data.length === 2);
    expect(reader.warnings[0]).toMatch(/NOPERM.*eval/);
    expect(reader.epochs).toHaveLength(1);
  });

  it('is down from when the log turns out to be another one', async () => {
    const { log, reader } = await start();
    await log.append(event('0'), 'timeout');
    await until('it has come', () => reader.data.length === 1);
    let status: string | undefined;
    reader.warn = () => {
      status = log.status;
    };
    await server.run((redis) => redis.flushall());
    await until('it begins anew', () => reader.epochs.length === 2);
    expect(status).toBe('down');
    await until('it is up again', () => log.status === 'up');
  });

  it('becomes ready while others do not cease to publish', async () => {
    const { log } = await start();
    await log.append(event('0'), 'timeout');
    const far = await Proxy.start(server.url);
    far.toClient.delay = 100;
    const publishing = setInterval(() => void log.append(event('and on'), 'queue'), 5);
    try {
      const late = await start({ url: far.url.replace('http:', 'redis:') });
      await until('it is up', () => late.log.status === 'up');
    } finally {
      clearInterval(publishing);
      far.close();
    }
  });

  it('says once that Redis refuses what is published, and stores it when Redis no longer does', async () => {
    const { log, reader } = await start({ url: await allow('reader') });
    await log.append(event('0'), 'timeout');
    const before = reader.warnings.length;
    for (const round of ['1', '2']) {
      await allow('reader', '-xadd');
      const waiting = [log.append(event(`${round}a`), 'queue'), log.append(event(`${round}b`), 'queue')];
      await until('it says so', () => reader.warnings.length > before);
      await delay(500);
      expect(log.status).toBe('down');
      await allow('reader');
      await Promise.all(waiting);
    }
    await until('all have come', () => reader.data.length === 5);
    expect(reader.data).toEqual(['0', '1a', '1b', '2a', '2b']);
    expect(reader.warnings.slice(before)).toEqual([
      expect.stringMatching(/^Redis refuses what is published \(.*run.*\)\. What is broadcast waits/),
    ]);
  });

  it('refuses an entry that is larger than Redis allows, and goes on with the next', async () => {
    const small = await RedisServer.start({ persistent: false, args: ['--proto-max-bulk-len', '1mb'] });
    try {
      const { log, reader } = await start({ url: small.url });
      const appended = ['0', 'x'.repeat(1024 * 1024), '1'].map((data) => log.append(event(data), 'queue'));
      // Redis closes the connection behind its refusal, and the kernel may throw that away with it: the next attempt hears it.
      await expect(appended[1]).rejects.toMatchObject({
        stored: expect.stringMatching(/^(no|unknown)$/) as unknown,
        message: expect.stringMatching(/bulk length/) as unknown,
      });
      await Promise.all([appended[0], appended[2]]);
      await until('both have come', () => reader.data.length === 2);
      expect(reader.data).toEqual(['0', '1']);
      await log.close(reader);
    } finally {
      await small.remove();
    }
  });

  it('keeps the appends of a hub that leaves apart from those of one that comes meanwhile', async () => {
    const { log, reader } = await start();
    const second = new LogRecorder();
    const left = log.append(event('of the one that leaves'), 'queue');
    const leaving = log.close(reader);
    const coming = log.start(second);
    const came = log.append(event('of the one that comes'), 'queue');
    started.push([log, second]);
    const places = await Promise.all([left, came]);
    await Promise.all([leaving, coming]);
    expect(places[0]).not.toEqual(places[1]);
    await until('both have come', () => second.data.length === 2);
    expect(second.data.toSorted()).toEqual(['of the one that comes', 'of the one that leaves']);
  });

  it('works on a cluster', async () => {
    const node = await RedisServer.start({
      persistent: false,
      args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
    });
    const cluster = new Cluster([{ host: '127.0.0.1', port: node.port }], { lazyConnect: true });
    try {
      await node.run((redis) => redis.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383'));
      await until('the cluster is ready', async () =>
        (await node.run((redis) => redis.cluster('INFO'))).includes('cluster_state:ok'),
      );
      const [a, b] = [await start({ client: cluster }), await start({ client: cluster })];
      await Promise.all(numbers(0, 99).map((data) => a.log.append(event(data), 'timeout')));
      await until('all have come', () => b.reader.data.length === 100);
      expect(b.reader.data).toEqual(numbers(0, 99));
      for (const { log, reader } of [a, b]) await log.close(reader);
    } finally {
      cluster.disconnect();
      await node.remove();
    }
  });

  it('says that it is down for wrong credentials, and does not fail the application', async () => {
    await server.run((redis) => redis.call('ACL', 'SETUSER', 'other', 'on', '>right', '~*', '+@all'));
    const { log, reader } = await start({ url: server.url.replace('//', '//other:wrong@'), publishTimeout: 300 });
    expect(log.status).toBe('down');
    await until('it says why', () => reader.warnings.length > 0);
    expect(reader.warnings).toEqual([expect.stringMatching(/cannot be read \(WRONGPASS/)]);
    await expect(log.append(event('0'), 'timeout')).rejects.toMatchObject({ stored: 'no' });
  });
});
