import { randomUUID } from 'node:crypto';

import { afterAll, afterEach, describe, expect, it, jest } from '@jest/globals';
import { BullModule, InjectQueue } from '@nestjs/bullmq';
import { Body, Controller, Module, Post, type Type } from '@nestjs/common';
import { type Job, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { RedisBackplane } from 'nestjs-sse-hub/redis';

import { returnToBaseline, until } from '../../support/baseline.js';
import { findRedis } from '../../support/brokers/redis-server.js';
import { platforms, type RunningApp } from '../../support/platforms.js';
import { ForeignReportsController } from './job-progress/foreign-reports.controller.js';
import { Printer } from './job-progress/printer.js';
import { ReportsController } from './job-progress/reports.controller.js';
import { ReportsListener } from './job-progress/reports.listener.js';
import { ReportsModule } from './job-progress/reports.module.js';

/** docs/recipes/job-progress.md: BullMQ on a real Redis, and two nodes whose log is there too. */

const redis = await findRedis();
const prefix = `test-${randomUUID()}`;
const connection = { url: redis?.url ?? '' };
const client = redis && new Redis(redis.url);

afterEach(() => void jest.restoreAllMocks());

afterAll(async () => {
  if (!redis || !client) return;
  await redis.forget(prefix);
  const keys = await client.keys(`${prefix}:*`);
  if (keys.length > 0) await client.unlink(keys);
  client.disconnect();
  await redis.stop();
});

const bench = returnToBaseline();

const imports = [BullModule.registerQueue({ name: 'reports' })];

/** A node whose jobs are worked on elsewhere. */
@Module({ imports, controllers: [ReportsController] })
class ServingModule {}

/** Where jobs are added, and those of others are followed. */
@Controller('reports')
class AddingController {
  constructor(@InjectQueue('reports') private readonly reports: Queue) {}

  @Post()
  async create(@Body('pages') pages: number) {
    const { id } = await this.reports.add('report', { pages }, { attempts: 2 });
    return { id };
  }
}

@Module({ imports, controllers: [AddingController, ForeignReportsController], providers: [ReportsListener] })
class ListeningModule {}

function startNode(reports: Type<unknown>): Promise<RunningApp> {
  return bench.start(platforms[0]!, {
    config: { backplane: new RedisBackplane({ url: redis!.url, prefix }) },
    imports: [BullModule.forRoot({ connection, prefix }), reports],
  });
}

async function create({ url }: RunningApp, pages: number): Promise<string> {
  const body = JSON.stringify({ pages });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/reports`, { method: 'POST', body, headers });
  return ((await response.json()) as { id: string }).id;
}

/** All that a viewer of a report gets, until its stream is over for good. */
async function viewing({ app }: RunningApp, id: string): Promise<unknown[]> {
  const stream = await bench.stream(app, `/reports/${id}/events`);
  const events: unknown[] = [];
  for await (const { event, data } of stream) events.push([event, data]);
  expect(stream.received.at(-1)!.event).toBe('sse.end');
  return events;
}

const progress = (page: number, of: number) => ['progress', { page, of }];

(redis ? describe : describe.skip)('the progress of jobs', () => {
  it('reaches viewers on every node once and in order, also who comes late, and then their streams end', async () => {
    const nodes = [await startNode(ReportsModule), await startNode(ReportsModule)];
    const held = new Map<number, () => void>();
    jest.spyOn(Printer.prototype, 'print').mockImplementation((page) => {
      return new Promise((resolve) => held.set(page, resolve));
    });
    const print = async (page: number): Promise<void> => {
      await until(`page ${page} is to be printed`, () => held.has(page));
      held.get(page)!();
    };

    const id = await create(nodes[0]!, 3);
    const early = nodes.map((node) => viewing(node, id));
    await print(1);
    await print(2);
    await until('the third page is to be printed', () => held.has(3));
    const late = nodes.map((node) => viewing(node, id));
    await print(3);
    const all = [progress(1, 3), progress(2, 3), progress(3, 3), ['completed', { pages: 3 }]];
    for (const events of await Promise.all([...early, ...late])) expect(events).toEqual(all);
    // When it is over.
    for (const node of nodes) expect(await viewing(node, id)).toEqual(all);
  });

  it('is told as failed when a job will not be tried again, without what went wrong inside', async () => {
    const node = await startNode(ReportsModule);
    const print = jest.spyOn(Printer.prototype, 'print').mockRejectedValueOnce(new Error('secret'));
    expect(await viewing(node, await create(node, 1))).toEqual([progress(1, 1), ['completed', { pages: 1 }]]);
    print.mockRejectedValue(new Error('secret'));
    const failed = [['failed', { message: 'The report could not be made.' }]];
    expect(await viewing(node, await create(node, 1))).toEqual(failed);
  });

  it('begins again where somebody has a failed job retried', async () => {
    const node = await startNode(ReportsModule);
    const print = jest.spyOn(Printer.prototype, 'print').mockRejectedValue(new Error('not yet'));
    const id = await create(node, 1);
    await viewing(node, id);
    print.mockResolvedValue();
    const queue = new Queue('reports', { connection, prefix });
    await (await queue.getJob(id))!.retry();
    await queue.close();
    await until('it is done', async () => (await viewing(node, id)).length > 1);
    expect(await viewing(node, id)).toEqual([progress(1, 1), ['completed', { pages: 1 }]]);
  });

  it('is told to the end when the node of the worker closes: its hub waits for the job, and viewers go on elsewhere', async () => {
    const [closing, other] = [await startNode(ReportsModule), await startNode(ServingModule)];
    let print = (): void => {};
    const printing = jest.spyOn(Printer.prototype, 'print');
    printing.mockImplementation(() => new Promise((resolve) => (print = resolve)));
    const stream = await bench.stream(closing.app, `/reports/${await create(other, 2)}/events`);
    await until('it is being printed', () => printing.mock.calls.length === 1);
    const closed = closing.close();
    print();
    await until('it is being printed', () => printing.mock.calls.length === 2);
    print();
    await Promise.all([closed, stream.ended()]);
    // The end may have come too late to be told there.
    if (stream.received.at(-1)!.event !== 'sse.end') {
      await stream.resume(other.app);
      await stream.ended();
    }
    const events = stream.received.filter(({ event }) => !event.startsWith('sse.'));
    const all = [progress(1, 2), progress(2, 2), ['completed', { pages: 2 }]];
    expect(events.map(({ event, data }) => [event, data])).toEqual(all);
  });

  it('is answered 204 for a job that ended so long ago that the log has forgotten it', async () => {
    const node = await startNode(ReportsModule);
    const id = await create(node, 1);
    await viewing(node, id);
    jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 16 * 60_000);
    expect((await fetch(`${node.url}/reports/${id}/events`)).status).toBe(204);
  });
});

(redis ? describe : describe.skip)('QueueEvents, where the workers have no hub', () => {
  async function startListening(...modules: Type<unknown>[]): Promise<RunningApp[]> {
    const nodes: RunningApp[] = [];
    for (const module of modules) nodes.push(await startNode(module));
    // They begin with what comes after they have asked for the first time.
    const listeners = modules.filter((module) => module === ListeningModule).length;
    await until('all are listening', async () => {
      const clients = String(await client!.client('LIST'));
      return (
        clients.split('\n').filter((line) => line.includes(`name=${prefix}:`) && /:qe .*cmd=xread/.test(line))
          .length === listeners
      );
    });
    return nodes;
  }

  /** A worker as they are elsewhere. */
  function work(before: () => Promise<void>): Worker {
    const process = async (job: Job): Promise<unknown> => {
      await before();
      await job.updateProgress({ page: 1, of: 1 });
      return { pages: 1 };
    };
    return new Worker('reports', process, { connection, prefix });
  }

  it('are published once by a run, on whichever node viewers come, and however many listen', async () => {
    const nodes = await startListening(ListeningModule, ListeningModule);
    let attempts = 0;
    let goOn = (): void => {};
    const held = new Promise<void>((resolve) => (goOn = resolve));
    const worker = work(async () => {
      // Nothing is said of an attempt that is followed by another one.
      if (attempts++ === 0) throw new Error('not yet');
      await held;
    });
    const id = await create(nodes[0]!, 1);
    const viewers = nodes.map((node) => viewing(node, id));
    await until('both are there', () => nodes.every(({ sse }) => sse.getClientCount() === 1));
    goOn();
    const all = [progress(1, 1), ['completed', { pages: 1 }]];
    expect(await Promise.all(viewers)).toEqual([all, all]);
    for (const node of nodes) expect(await viewing(node, id)).toEqual(all);
    expect(nodes.map(({ sse }) => sse.getRun(`report:${id}`)!.events)).toEqual([2, 2]);
    await worker.close();
  });

  it('end the stream with a failure where the job will not be tried again', async () => {
    const [node] = await startListening(ListeningModule);
    let fail = (): void => {};
    const held = new Promise<void>((_, reject) => (fail = () => reject(new Error('secret'))));
    held.catch(() => {});
    const worker = work(() => held);
    const events = viewing(node!, await create(node!, 1));
    await until('the viewer is there', () => node!.sse.getClientCount() === 1);
    fail();
    expect(await events).toEqual([['failed', { message: 'The source of these events failed.' }]]);
    await worker.close();
  });
});
