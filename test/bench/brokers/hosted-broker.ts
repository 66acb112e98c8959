import { setTimeout as sleep } from 'node:timers/promises';

import { Child } from '../child.js';
import type { BrokerKind, BrokerRequests } from './messages.js';

/** A broker, and the process that looks after it. */
export class HostedBroker {
  readonly #host = new Child<BrokerRequests>('./brokers/broker-process.js');
  url = '';
  version = '';

  constructor(readonly kind: BrokerKind) {}

  async start(prefix: string): Promise<void> {
    const { url, version } = await this.#host.ask('start', { kind: this.kind, prefix });
    this.url = url;
    this.version = version;
  }

  /** In microseconds, so far; not a number where its process is not ours to look at. */
  async cpu(): Promise<number> {
    return (await this.#host.ask('cpu', {})).cpu ?? Number.NaN;
  }

  async stop(): Promise<void> {
    await Promise.race([this.#host.ask('close', {}).catch(() => {}), sleep(5_000, undefined, { ref: false })]);
    await this.#host.stop();
  }
}
