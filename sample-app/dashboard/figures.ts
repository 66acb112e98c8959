import { cpus, freemem, loadavg, totalmem } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';

import type { SSEStats } from 'nestjs-sse-hub';

import { NODE_NAME } from '../node-name.js';

export interface ProcessFigures {
  /** Whose figures these are. */
  readonly node: string;
  readonly at: number;
  /** 100 is one core. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
  readonly eventLoopDelayMs: number;
  readonly openStreams: number;
  /** Events that this node wrote to its clients, each one counted per client. */
  readonly eventsPerSecond: number;
  /** Events that this node read from the log. */
  readonly publishedPerSecond: number;
}

export interface MachineFigures {
  readonly at: number;
  readonly cpuPercent: number;
  readonly memoryPercent: number;
  readonly load: number;
}

type Counted = Pick<SSEStats, 'delivered' | 'published'>;

const RESOLUTION_MS = 10;

/** Measures between one call of `take()` and the next. */
export class Figures {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #at = performance.now();
  #process = process.cpuUsage();
  #machine = machineTimes();
  #counted: Counted = { delivered: 0, published: 0 };

  start(counted: Counted): void {
    this.#delay.enable();
    this.#goOn(counted);
  }

  stop(): void {
    this.#delay.disable();
  }

  take(stats: SSEStats): { process: ProcessFigures; machine: MachineFigures } {
    const seconds = Math.max(performance.now() - this.#at, 1) / 1_000;
    const used = process.cpuUsage(this.#process);
    const machine = machineTimes();
    const passed = machine.total - this.#machine.total;
    const idle = machine.idle - this.#machine.idle;
    const figures = {
      process: {
        node: NODE_NAME,
        at: Date.now(),
        cpuPercent: round((used.user + used.system) / 10_000 / seconds),
        memoryBytes: process.memoryUsage.rss(),
        // What is measured is the time between two ticks, so the resolution is part of it.
        eventLoopDelayMs: round(Math.max(0, this.#delay.percentile(99) / 1e6 - RESOLUTION_MS)),
        openStreams: stats.clients,
        eventsPerSecond: round((stats.delivered - this.#counted.delivered) / seconds),
        publishedPerSecond: round((stats.published - this.#counted.published) / seconds),
      },
      machine: {
        at: Date.now(),
        cpuPercent: passed === 0 ? 0 : round(100 * (1 - idle / passed)),
        memoryPercent: round(100 * (1 - freemem() / totalmem())),
        load: round(loadavg()[0] ?? 0),
      },
    };
    this.#goOn(stats);
    return figures;
  }

  #goOn({ delivered, published }: Counted): void {
    this.#at = performance.now();
    this.#process = process.cpuUsage();
    this.#machine = machineTimes();
    this.#counted = { delivered, published };
    this.#delay.reset();
  }
}

function machineTimes(): { idle: number; total: number } {
  const times = cpus().map((cpu) => cpu.times);
  const idle = times.reduce((sum, time) => sum + time.idle, 0);
  const busy = times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, 0);
  return { idle, total: idle + busy };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
