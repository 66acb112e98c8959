import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';
import { Subject } from 'rxjs';

import { NODE_NAME } from '../node-name.js';

/** Each node counts for itself: the numbers of a lane are without a gap. */
export interface Tick {
  /** The node that counts. */
  readonly lane: string;
  /** From 1 on. */
  readonly n: number;
}

export const FLOW_TOPIC = 'flow';

/** How many events of the topic the log keeps: those of four minutes. */
export const FLOW_HISTORY = 1_000;

interface Events {
  [FLOW_TOPIC]: { tick: Tick; filler: string };
}

const INTERVAL = 250;

/** Milliseconds for which it goes on when nobody is there: whoever is away for a moment is to miss something. */
const LINGER = 60_000;

/** Numbers that a page can count: one that is missing, or comes twice, is seen at once. */
@Injectable()
export class FlowService implements OnModuleInit, OnModuleDestroy {
  /** The same without the hub: who is not there when it happens has missed it. */
  readonly ticks = new Subject<Tick>();
  /** Streams of `ticks` end here. */
  readonly drained = new Subject<void>();
  #published = 0;
  /** The newest one that has come back from the log, also from an earlier life of this node. */
  #newest = 0;
  #until = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly sse: SSEService<Events>) {
    sse.observe(FLOW_TOPIC, { since: 0 }).subscribe(({ event, data }) => {
      if (event === 'tick' && data.lane === NODE_NAME) this.#newest = data.n;
    });
  }

  onModuleInit(): void {
    this.#timer = setInterval(() => this.#flow(), INTERVAL);
  }

  onModuleDestroy(): void {
    clearInterval(this.#timer);
    // A stream that the hub does not know is ended by nobody else, and a server that closes would wait for it.
    this.ticks.complete();
  }

  /** Whoever begins now gets what comes after it. */
  newest(): Tick {
    return { lane: NODE_NAME, n: this.#newest };
  }

  publish(count = 1): void {
    for (let i = 0; i < count; i++) {
      this.#published = Math.max(this.#published, this.#newest) + 1;
      const tick = { lane: NODE_NAME, n: this.#published };
      this.sse.broadcast(FLOW_TOPIC, 'tick', tick);
      this.ticks.next(tick);
    }
  }

  /** Drives all that was published out of the log, with events that no stream lets through. */
  forget(): void {
    const filler = { topic: FLOW_TOPIC, event: 'filler', data: '', metadata: { node: 'none' } } as const;
    for (let i = 0; i <= FLOW_HISTORY; i++) this.sse.broadcast(filler);
  }

  #flow(): void {
    const now = performance.now();
    if (this.sse.getClientCount(FLOW_TOPIC) > 0 || this.ticks.observed) this.#until = now + LINGER;
    if (now < this.#until) this.publish();
  }
}
