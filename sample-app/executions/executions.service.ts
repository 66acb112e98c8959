import { randomUUID } from 'node:crypto';

import { HttpException, HttpStatus, Injectable, Logger, NotFoundException, type OnModuleDestroy } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';

import { hashFolder } from './hash-folder.js';

export interface Execution {
  readonly id: string;
  readonly folder: string;
  readonly state: 'running' | 'complete' | 'failed';
}

const MAX_RUNNING = 3;
const KEPT = 20;

export function executionTopic(id: string): string {
  return `execution:${id}`;
}

/** Runs executions, whether or not anybody watches. */
@Injectable()
export class ExecutionsService implements OnModuleDestroy {
  readonly #logger = new Logger(ExecutionsService.name);
  readonly #executions = new Map<string, Execution>();
  readonly #running = new Set<Promise<void>>();
  readonly #shutdown = new AbortController();

  constructor(private readonly sse: SSEService) {}

  async onModuleDestroy(): Promise<void> {
    this.#shutdown.abort();
    await Promise.all(this.#running);
  }

  /** Newest first. */
  list(): Execution[] {
    return [...this.#executions.values()].toReversed();
  }

  get(id: string): Execution {
    const execution = this.#executions.get(id);
    if (!execution) throw new NotFoundException('There is no such execution.');
    return execution;
  }

  /** `folder` is how the visitor calls it, `path` where it is. */
  start(folder: string, path: string): Execution {
    if (this.#running.size >= MAX_RUNNING) {
      throw new HttpException(`${MAX_RUNNING} executions are running already.`, HttpStatus.TOO_MANY_REQUESTS);
    }
    const execution: Execution = { id: randomUUID(), folder, state: 'running' };
    this.#keep(execution);
    const run = this.#run(execution, path).finally(() => this.#running.delete(run));
    this.#running.add(run);
    return execution;
  }

  async #run(execution: Execution, path: string): Promise<void> {
    const topic = executionTopic(execution.id);
    const { signal } = this.#shutdown;
    try {
      for await (const { event, data } of hashFolder(path, signal)) {
        if (signal.aborted) return;
        this.sse.broadcast(topic, event, data);
      }
      this.#keep({ ...execution, state: 'complete' });
    } catch (error) {
      if (signal.aborted) return;
      this.#logger.error(error);
      this.#keep({ ...execution, state: 'failed' });
      this.sse.broadcast(topic, 'execution-failed', { message: 'The folder could not be hashed.' });
    }
    // Everything above is delivered first; then the streams of this execution end, and browsers do not come back.
    this.sse.closeTopic(topic);
  }

  #keep(execution: Execution): void {
    this.#executions.set(execution.id, execution);
    if (this.#executions.size <= KEPT) return;
    const oldest = [...this.#executions.values()].find(({ state }) => state !== 'running');
    if (oldest) this.#executions.delete(oldest.id);
  }
}
