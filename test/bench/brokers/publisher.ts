import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

import { payloadOf } from '../payload.js';
import type { PublishRequest } from './messages.js';
import type { BrokerNode } from './node.js';

/** Applications publish an event here and there, not all that fits into one turn of the event loop. */
const PER_TURN = 10;

/** Publishes what is asked for, at a pace or within bounds. */
export class Publisher {
  #allowed = Infinity;
  #perGo = 0;
  #onMore: (() => void) | undefined;

  constructor(private readonly node: BrokerNode) {}

  /** Settles when the log has all of it, or with the first failure. */
  async publish(request: PublishRequest): Promise<void> {
    this.#perGo = request.perGo ?? 0;
    this.#allowed = request.window;
    await new Promise<void>((resolve, reject) => {
      let stored = 0;
      const onStored = (): void => {
        if (request.perGo === undefined) this.#allow(1);
        if (++stored === request.events) resolve();
      };
      this.#publishAll(request, () => {
        this.node.publish(request.topic, payloadOf(request.size)).then(onStored, reject);
      }).catch(reject);
    });
  }

  go(): void {
    this.#allow(this.#perGo);
  }

  async #publishAll(
    { events, every, after = 0, perTurn = PER_TURN }: PublishRequest,
    publishOne: () => void,
  ): Promise<void> {
    const started = performance.now() + after;
    for (let n = 0; n < events; n++) {
      if (every !== undefined) await sleep(Math.max(0, started + n * every - performance.now()));
      else if (n % perTurn === 0) await nextTurn();
      while (n >= this.#allowed) await new Promise<void>((resolve) => (this.#onMore = resolve));
      publishOne();
    }
  }

  #allow(more: number): void {
    this.#allowed += more;
    this.#onMore?.();
  }
}
