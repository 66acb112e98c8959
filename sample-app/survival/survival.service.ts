import { ConflictException, Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { SSEService } from 'nestjs-sse-hub';

import { NODE_NAME } from '../node-name.js';
import { BadNetwork } from './bad-network.js';
import { FlowService, type Tick } from './flow.service.js';

export interface SurvivalState {
  readonly node: string;
  /** The log outlives this node, and another one can take over. */
  readonly nodes: boolean;
  readonly platform: string;
  readonly log: string;
  readonly flow: Tick;
}

const TROUBLE_TOPIC = 'trouble';

interface Events {
  [TROUBLE_TOPIC]: Record<'cut' | 'restart' | 'kill', { tab: string }> &
    Record<'offline' | 'slow', { tab: string; seconds: number }>;
}

/** So many at once, so that something waits for whoever is slow. */
const BURST = 200;

/** Milliseconds in which an answer has left. */
const ANSWER_TIME = 100;

/** Behind a balancer any node is asked, and the one that has the tab's streams is to act: all of them hear it. */
@Injectable()
export class SurvivalService {
  constructor(
    private readonly sse: SSEService<Events>,
    private readonly flow: FlowService,
    private readonly network: BadNetwork,
    private readonly host: HttpAdapterHost,
  ) {
    sse.observe(TROUBLE_TOPIC).subscribe(({ event, data }) => {
      if (event === 'cut') network.cut(data.tab);
      if (event === 'offline') network.takeOffline(data.tab, data.seconds * 1_000);
      if (event === 'slow') network.slowDown(data.tab, data.seconds * 1_000);
      if (event === 'restart' && this.#serves(data.tab)) this.#restart();
      if (event === 'kill' && this.#serves(data.tab)) this.#kill();
    });
  }

  state(): SurvivalState {
    const { kind } = this.sse.stats().backplane;
    const platform = this.host.httpAdapter.getType();
    return { node: NODE_NAME, nodes: kind !== 'memory', platform, log: kind, flow: this.flow.newest() };
  }

  cut(tab: string): void {
    this.sse.broadcast(TROUBLE_TOPIC, 'cut', { tab });
  }

  takeOffline(tab: string, seconds: number): void {
    this.sse.broadcast(TROUBLE_TOPIC, 'offline', { tab, seconds });
  }

  slowDown(tab: string, seconds: number): void {
    this.sse.broadcast(TROUBLE_TOPIC, 'slow', { tab, seconds });
    this.flow.publish(BURST);
  }

  /** Cut first: whoever is connected misses nothing of it. */
  forget(tab: string): void {
    this.cut(tab);
    this.flow.forget();
  }

  /** Sends everybody away as a shutdown does: each with its cursor, to come back. */
  drain(): number {
    const ended = this.sse.getClients().filter(({ id }) => this.sse.removeClient(id));
    this.flow.drained.next();
    return ended.length;
  }

  /** The node that serves the tab, or this one. */
  restart(tab?: string): void {
    if (tab === undefined) this.#restart();
    else this.sse.broadcast(TROUBLE_TOPIC, 'restart', { tab });
  }

  /** The node that serves the tab, or this one; the streams go on on another one. */
  kill(tab?: string): void {
    if (!this.state().nodes) {
      throw new ConflictException(
        'The log is in the memory of this process and would die with it. Start two nodes on one log, and kill one of ' +
          'them: docker compose -f sample-app/compose.yaml up --build',
      );
    }
    if (tab === undefined) this.#kill();
    else this.sse.broadcast(TROUBLE_TOPIC, 'kill', { tab });
  }

  #serves(tab: string): boolean {
    return this.sse.getClients().some(({ metadata }) => metadata['tab'] === tab);
  }

  #restart(): void {
    setTimeout(() => this.network.restart(), ANSWER_TIME);
  }

  #kill(): void {
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), ANSWER_TIME);
  }
}
