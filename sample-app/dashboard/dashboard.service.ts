import { randomUUID } from 'node:crypto';

import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';

import { NODE_NAME } from '../node-name.js';
import type { DemoUser } from '../users/demo-users.js';
import { Figures } from './figures.js';

export interface Order {
  /** No number: two nodes would count to the same one. */
  readonly id: string;
  readonly item: string;
  readonly quantity: number;
  readonly by: string;
}

interface Events {
  order: Order;
}

const PROCESS_TOPIC = 'dashboard:process';
const MACHINE_TOPIC = 'dashboard:machine';
export const ORDERS_TOPIC = 'orders';

const INTERVAL = 1_000;

@Injectable()
export class DashboardService implements OnModuleInit, OnModuleDestroy {
  readonly #figures = new Figures();
  #measuring = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly sse: SSEService<Events>) {}

  onModuleInit(): void {
    this.#timer = setInterval(() => this.#tick(), INTERVAL);
  }

  onModuleDestroy(): void {
    clearInterval(this.#timer);
    this.#figures.stop();
  }

  order(item: string, quantity: number, user: DemoUser): Order {
    const order = { id: randomUUID(), item, quantity, by: user.name };
    this.sse.broadcast(ORDERS_TOPIC, 'order', order);
    return order;
  }

  #tick(): void {
    const watched = this.sse.getClientCount(PROCESS_TOPIC) > 0;
    if (watched && this.#measuring) return this.#publish();
    // Nobody watches: nothing is measured. The first viewer starts it, and there is something to tell a tick later.
    if (watched === this.#measuring) return;
    this.#measuring = watched;
    if (watched) this.#figures.start();
    else this.#figures.stop();
  }

  #publish(): void {
    const { process, machine } = this.#figures.take(this.sse.getClientCount());
    const metadata = { node: NODE_NAME };
    this.sse.broadcast({ topic: PROCESS_TOPIC, event: 'process', data: process, metadata });
    this.sse.broadcast({ topic: MACHINE_TOPIC, event: 'machine', data: machine, metadata });
  }
}
