import { randomUUID } from 'node:crypto';

import {
  HttpException,
  HttpStatus,
  Injectable,
  Logger,
  NotFoundException,
  type OnModuleDestroy,
  type OnModuleInit,
  ServiceUnavailableException,
} from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';
import { filter, firstValueFrom, map, takeUntil, timer } from 'rxjs';

import { hashFolder } from './hash-folder.js';

export interface Execution {
  readonly id: string;
  readonly folder: string;
  readonly state: 'running' | 'complete' | 'failed';
}

/** On this node. */
const MAX_RUNNING = 3;
const KEPT = 20;

/** What every node knows of executions. Their own events have topics of their own. */
const EXECUTIONS_TOPIC = 'executions';

/** Milliseconds in which the news of an execution gets from its node to the others. */
const NEWS_TIME = 500;

export function executionTopic(id: string): `execution:${string}` {
  return `execution:${id}`;
}

/** Runs executions, whether or not anybody watches. */
@Injectable()
export class ExecutionsService implements OnModuleInit, OnModuleDestroy {
  readonly #logger = new Logger(ExecutionsService.name);
  readonly #executions = new Map<string, Execution>();
  /** Those that this node has begun. */
  readonly #own = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  readonly #shutdown = new AbortController();

  constructor(private readonly sse: SSEService) {
    sse.observe<Execution | null>(EXECUTIONS_TOPIC).subscribe(({ data }) => {
      if (data) this.#keep(data);
      else this.#answer();
    });
  }

  /** A node that starts later asks the others for what they have begun: viewers who come back may come to it. */
  onModuleInit(): void {
    this.sse.broadcast(EXECUTIONS_TOPIC, 'asked', null);
  }

  async onModuleDestroy(): Promise<void> {
    this.#shutdown.abort();
    await Promise.all(this.#running);
  }

  /** Newest first. */
  list(): Execution[] {
    return [...this.#executions.values()].toReversed();
  }

  /** Throws a 404 if no node has begun it. */
  async assertKnown(id: string): Promise<void> {
    if (this.#executions.has(id)) return;
    const news = this.sse.observe<Execution | null>(EXECUTIONS_TOPIC).pipe(
      filter(({ data }) => data?.id === id),
      map(() => true),
      takeUntil(timer(NEWS_TIME)),
    );
    if (await firstValueFrom(news, { defaultValue: false })) return;
    throw new NotFoundException('There is no such execution.');
  }

  /** `folder` is how the visitor calls it, `path` where it is. */
  start(folder: string, path: string): Execution {
    if (this.#shutdown.signal.aborted) throw new ServiceUnavailableException('This node is shutting down.');
    if (this.#running.size >= MAX_RUNNING) {
      throw new HttpException(`${MAX_RUNNING} executions are running already.`, HttpStatus.TOO_MANY_REQUESTS);
    }
    const execution: Execution = { id: randomUUID(), folder, state: 'running' };
    this.#own.add(execution.id);
    this.#tell(execution);
    const run = this.#run(execution, path).finally(() => this.#running.delete(run));
    this.#running.add(run);
    return execution;
  }

  async #run(execution: Execution, path: string): Promise<void> {
    const topic = executionTopic(execution.id);
    const { signal } = this.#shutdown;
    try {
      for await (const { event, data } of hashFolder(path, signal)) {
        signal.throwIfAborted();
        this.sse.broadcast(topic, event, data);
      }
      this.#tell({ ...execution, state: 'complete' });
    } catch (error) {
      if (!signal.aborted) this.#logger.error(error);
      const message = signal.aborted ? 'Its node was shut down.' : 'The folder could not be hashed.';
      this.#tell({ ...execution, state: 'failed' });
      this.sse.broadcast(topic, 'execution-failed', { message });
    }
    // Everything above is delivered first; then the streams of this execution end, and browsers do not come back.
    this.sse.closeTopic(topic);
  }

  #answer(): void {
    if (this.#shutdown.signal.aborted) return;
    for (const execution of this.#executions.values()) {
      if (this.#own.has(execution.id)) this.#tell(execution);
    }
  }

  #tell(execution: Execution): void {
    this.#keep(execution);
    this.sse.broadcast(EXECUTIONS_TOPIC, 'execution', execution);
  }

  // What this node has told comes back, perhaps when it has told more.
  #keep(execution: Execution): void {
    const known = this.#executions.get(execution.id);
    if (known && known.state !== 'running') return;
    this.#executions.set(execution.id, execution);
    if (this.#executions.size <= KEPT) return;
    const oldest = [...this.#executions.values()].find(({ state }) => state !== 'running');
    if (!oldest) return;
    this.#executions.delete(oldest.id);
    this.#own.delete(oldest.id);
  }
}
