import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { SSEService, type SSEStats, topicPattern } from 'nestjs-sse-hub';

import { MAX_HISTORY_BYTES, MAX_HISTORY_SIZE } from '../history-limits.js';
import { NODE_NAME } from '../node-name.js';

export interface TopicRate {
  readonly topic: string;
  /** Events that were published, on average of the last seconds. */
  readonly perSecond: number;
}

export interface HubReport {
  readonly node: string;
  readonly stats: SSEStats;
  /** Busiest first. */
  readonly rates: readonly TopicRate[];
  readonly history: SSEStats['history'] & {
    /** All topics together have no limit but that of bytes. */
    readonly maxEventsPerTopic: number;
    readonly maxBytes: number;
  };
}

/** Seconds that a rate is an average of. */
const SECONDS = 10;

/** How one node is. */
@Injectable()
export class HubReports implements OnModuleInit, OnModuleDestroy {
  /** How many events each topic had, for each of the last seconds; the newest first. */
  #counts: readonly Map<string, number>[] = [new Map<string, number>()];
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly sse: SSEService) {
    sse.observe(topicPattern('**')).subscribe(({ topic }) => this.#count(topic));
  }

  onModuleInit(): void {
    this.#timer = setInterval(() => {
      this.#counts = [new Map<string, number>(), ...this.#counts.slice(0, SECONDS - 1)];
    }, 1_000);
  }

  onModuleDestroy(): void {
    clearInterval(this.#timer);
  }

  report(): HubReport {
    const stats = this.sse.stats();
    const history = { ...stats.history, maxEventsPerTopic: MAX_HISTORY_SIZE, maxBytes: MAX_HISTORY_BYTES };
    return { node: NODE_NAME, stats, rates: this.#rates(), history };
  }

  #count(topic = ''): void {
    const [newest] = this.#counts;
    newest?.set(topic, (newest.get(topic) ?? 0) + 1);
  }

  #rates(): TopicRate[] {
    const sums = new Map<string, number>();
    for (const [topic, count] of this.#counts.flatMap((second) => [...second])) {
      sums.set(topic, (sums.get(topic) ?? 0) + count);
    }
    const rates = [...sums].map(([topic, count]) => ({ topic, perSecond: count / SECONDS }));
    return rates.toSorted((a, b) => b.perSecond - a.perSecond);
  }
}
