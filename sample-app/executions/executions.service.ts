import { randomUUID } from 'node:crypto';

import { HttpException, HttpStatus, Injectable, NotFoundException } from '@nestjs/common';
import { type SSERunState, SSEService } from 'nestjs-sse-hub';

import { waitForRun } from '../wait-for-run.js';
import { type HashEvent, hashFolder } from './hash-folder.js';

interface Announcement {
  readonly id: string;
  readonly folder: string;
}

export interface Execution extends Announcement {
  readonly state: SSERunState['state'];
}

/** On all nodes together. */
const MAX_RUNNING = 3;
const LISTED = 20;

/** What every node knows of executions. Their own events have topics of their own. */
export const EXECUTIONS_TOPIC = 'executions';

interface Events {
  [EXECUTIONS_TOPIC]: { execution: Announcement };
  [execution: `execution:${string}`]: { [One in HashEvent as One['event']]: One['data'] } & Record<
    'execution-failed' | 'execution-stopped',
    { message: string }
  >;
}

export function executionTopic(id: string): `execution:${string}` {
  return `execution:${id}`;
}

/** Executions are runs: they go on whether or not anybody watches, and each node knows how they are. */
@Injectable()
export class ExecutionsService {
  readonly #announced = new Map<string, Announcement>();

  constructor(private readonly sse: SSEService<Events>) {
    // Also what was announced before this node started: viewers who come back may come to it.
    sse.observe(EXECUTIONS_TOPIC, { since: 0 }).subscribe(({ data }) => this.#keep(data));
  }

  /** Newest first; those that can be watched. */
  list(): Execution[] {
    return [...this.#announced.values()].toReversed().flatMap((announced) => {
      const run = this.sse.getRun(executionTopic(announced.id));
      return run ? [{ ...announced, state: run.state }] : [];
    });
  }

  /** Throws a 404 if no node has begun it, or it is so long over that the log has let go of it. */
  async assertKnown(id: string): Promise<void> {
    if (await waitForRun(this.sse, executionTopic(id))) return;
    throw new NotFoundException('There is no such execution.');
  }

  /** `folder` is how the visitor calls it, `path` where it is. */
  async start(folder: string, path: string): Promise<Execution> {
    if (this.list().filter(({ state }) => state === 'running').length >= MAX_RUNNING) {
      throw new HttpException(`${MAX_RUNNING} executions are running already.`, HttpStatus.TOO_MANY_REQUESTS);
    }
    const id = randomUUID();
    const run = this.sse.run(executionTopic(id), (signal) => hashFolder(path, signal), {
      // Whatever the reason is, and whoever notices: this node may be gone by then.
      failed: { event: 'execution-failed', data: { message: 'It failed, or its node is gone.' } },
      cancelled: { event: 'execution-stopped', data: { message: 'It was stopped.' } },
    });
    await run.started;
    this.#keep({ id, folder });
    this.sse.broadcast(EXECUTIONS_TOPIC, 'execution', { id, folder });
    return { id, folder, state: 'running' };
  }

  stop(id: string, reason: string): void {
    this.sse.cancelRun(executionTopic(id), { reason });
  }

  #keep(announced: Announcement): void {
    this.#announced.set(announced.id, announced);
    const [oldest] = this.#announced.keys();
    if (this.#announced.size > LISTED) this.#announced.delete(oldest!);
  }
}
