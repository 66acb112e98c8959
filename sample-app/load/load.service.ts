import { type ChildProcess, fork } from 'node:child_process';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { ConflictException, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { SSEService } from 'nestjs-sse-hub';

import { NODE_NAME } from '../node-name.js';
import { SAMPLE_FOLDER } from '../paths.js';

/** What the process of the clients tells, each second. */
interface LoadReport {
  readonly state: 'starting' | 'running' | 'stopped';
  readonly connected: number;
  /** Events that all of them got. */
  readonly perSecond: number;
  /** Milliseconds from publishing to reading. */
  readonly p50: number;
  readonly p99: number;
  /** What could not be done. */
  readonly message?: string;
}

export interface LoadState extends LoadReport {
  readonly node: string;
  readonly clients: number;
}

export const LOAD_TOPIC = 'load';
const FIGURES_TOPIC = 'dashboard:load';

interface Events {
  [LOAD_TOPIC]: { beat: { at: number }; stop: Record<string, never> };
  [FIGURES_TOPIC]: { load: LoadState };
}

const CLIENTS = join(SAMPLE_FOLDER, 'load', 'load-clients.js');
const NOTHING = { state: 'stopped', connected: 0, perSecond: 0, p50: 0, p99: 0 } as const;

/** Milliseconds. */
const LONGEST = 60_000;
/** A node that says nothing for so long while it has a load has died. */
const SILENCE = 5_000;

/** Many clients of this node, and events for all of them. At a time one node has a load, and all know its figures. */
@Injectable()
export class LoadService implements OnModuleDestroy {
  #state: LoadState = { node: NODE_NAME, clients: 0, ...NOTHING };
  #heardAt = 0;
  #worker: ChildProcess | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(
    private readonly sse: SSEService<Events>,
    private readonly host: HttpAdapterHost,
  ) {
    sse.observe(FIGURES_TOPIC).subscribe(({ data }) => {
      this.#state = data;
      this.#heardAt = performance.now();
    });
    sse.observe(LOAD_TOPIC).subscribe(({ event }) => {
      if (event === 'stop') this.#stop();
    });
  }

  onModuleDestroy(): void {
    this.#stop();
  }

  state(): LoadState {
    const isLost = this.#state.state !== 'stopped' && performance.now() > this.#heardAt + SILENCE;
    return isLost ? { ...this.#state, ...NOTHING, message: 'Its node is gone.' } : this.#state;
  }

  start(clients: number, rate: number): LoadState {
    const { state, node } = this.state();
    if (this.#worker || state !== 'stopped') throw new ConflictException(`${node} has a load already. Stop it first.`);
    const worker = fork(CLIENTS, { execArgv: [] });
    this.#worker = worker;
    worker.on('message', (report: LoadReport) => this.#tell(clients, report));
    worker.once('error', ({ message }) => this.#stop(`The clients could not be started: ${message}`));
    worker.once('exit', (code, signal) => this.#stop(`The process of the clients has ended: ${signal ?? code}.`));
    worker.send({ ...this.#address(), path: '/load/events', clients });
    this.#timers.add(setInterval(() => this.#beat(), 1_000 / rate));
    this.#timers.add(setTimeout(() => this.#stop(`It ends by itself after ${LONGEST / 1_000} s.`), LONGEST));
    this.#tell(clients, { ...NOTHING, state: 'starting' });
    return this.#state;
  }

  /** On whichever node it is. */
  stop(): void {
    this.sse.broadcast(LOAD_TOPIC, 'stop', {});
  }

  #beat(): void {
    this.sse.broadcast(LOAD_TOPIC, 'beat', { at: performance.timeOrigin + performance.now() });
  }

  #tell(clients: number, report: LoadReport): void {
    this.#state = { node: NODE_NAME, clients, ...report };
    this.#heardAt = performance.now();
    this.sse.broadcast(FIGURES_TOPIC, 'load', this.#state);
  }

  #stop(message?: string): void {
    if (!this.#worker) return;
    this.#worker.removeAllListeners().kill();
    this.#worker = undefined;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#tell(this.#state.clients, { ...NOTHING, ...(message !== undefined && { message }) });
  }

  #address(): { host: string; port: number } {
    const { address, port } = (this.host.httpAdapter.getHttpServer() as Server).address() as AddressInfo;
    // Not all systems take the address of all interfaces for this machine's.
    const own: Readonly<Record<string, string>> = { '::': '::1', '0.0.0.0': '127.0.0.1' };
    return { host: own[address] ?? address, port };
  }
}
