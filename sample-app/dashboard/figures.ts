import { cpus, freemem, loadavg, totalmem } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';

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
}

export interface MachineFigures {
  readonly at: number;
  readonly cpuPercent: number;
  readonly memoryPercent: number;
  readonly load: number;
}

const RESOLUTION_MS = 10;

/** Measures between one call of `take()` and the next. */
export class Figures {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #at = performance.now();
  #process = process.cpuUsage();
  #machine = machineTimes();

  start(): void {
    this.#delay.enable();
    this.take(0);
  }

  stop(): void {
    this.#delay.disable();
  }

  take(openStreams: number): { process: ProcessFigures; machine: MachineFigures } {
    const now = performance.now();
    const used = process.cpuUsage(this.#process);
    const machine = machineTimes();
    const passed = machine.total - this.#machine.total;
    const idle = machine.idle - this.#machine.idle;
    const figures = {
      process: {
        node: NODE_NAME,
        at: Date.now(),
        cpuPercent: round((used.user + used.system) / 10 / Math.max(now - this.#at, 1)),
        memoryBytes: process.memoryUsage.rss(),
        // What is measured is the time between two ticks, so the resolution is part of it.
        eventLoopDelayMs: round(Math.max(0, this.#delay.percentile(99) / 1e6 - RESOLUTION_MS)),
        openStreams,
      },
      machine: {
        at: Date.now(),
        cpuPercent: passed === 0 ? 0 : round(100 * (1 - idle / passed)),
        memoryPercent: round(100 * (1 - freemem() / totalmem())),
        load: round(loadavg()[0] ?? 0),
      },
    };
    this.#at = now;
    this.#process = process.cpuUsage();
    this.#machine = machine;
    this.#delay.reset();
    return figures;
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
