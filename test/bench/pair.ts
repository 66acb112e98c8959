import { setTimeout as sleep } from 'node:timers/promises';

import { Child } from './child.js';
import type { Contender } from './contenders/contender.js';
import { type ContenderName, contenderOf } from './contenders/index.js';
import type { ConnectRequest, GeneratorRequests, ServerRequests } from './messages.js';

const CONNECTING = 100;
const PATIENCE = 60_000;

/** One contender's server, and the load generator that is connected to it: a process each. */
export class Pair {
  readonly contender: Contender;
  readonly server = new Child<ServerRequests>('./server.js', ['--expose-gc']);
  readonly generator = new Child<GeneratorRequests>('./generator.js');
  port = 0;

  private constructor(readonly name: ContenderName) {
    this.contender = contenderOf(name);
    this.generator.onNote = () => this.server.tell('go');
  }

  static async start(name: ContenderName, history = false): Promise<Pair> {
    const pair = new Pair(name);
    try {
      pair.port = (await pair.server.ask('start', { contender: name, history })).port;
      return pair;
    } catch (error) {
      await pair.stop();
      throw error;
    }
  }

  /** Opens streams, and waits until the server counts them. */
  async connect(clients: number, paths: readonly string[], more: Partial<ConnectRequest> = {}): Promise<void> {
    const { gzip = false, http2 = false } = this.contender;
    const request = { port: this.port, clients, paths, gzip, http2, concurrency: CONNECTING, ...more };
    await this.generator.ask('connect', request);
    await this.until(async () => (await this.server.ask('clients', {})).clients >= clients);
  }

  /** Closes all streams, and waits until the server has noticed. */
  async drop(): Promise<void> {
    await this.generator.ask('drop', {});
    await this.until(async () => (await this.server.ask('clients', {})).clients === 0);
  }

  async until(condition: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + PATIENCE;
    while (!(await condition())) {
      if (Date.now() > deadline) throw new Error(`${this.contender.label} did not get there in time.`);
      await sleep(10);
    }
  }

  async stop(): Promise<void> {
    // It may have processes of its own to end; one that does not answer any more must not keep the others waiting.
    await Promise.race([this.server.ask('close', {}).catch(() => {}), sleep(3_000, undefined, { ref: false })]);
    await Promise.all([this.server.stop(), this.generator.stop()]);
  }
}
