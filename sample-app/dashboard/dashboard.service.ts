import { randomUUID } from 'node:crypto';

import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { type SSEEvent, SSEService, topicPattern, type TopicPattern } from 'nestjs-sse-hub';

import { CONNECTIONS_TOPIC } from '../admin/connections.service.js';
import { NODE_NAME } from '../node-name.js';
import type { DemoUser } from '../users/demo-users.js';
import { Figures, type MachineFigures, type ProcessFigures } from './figures.js';

export interface Order {
  /** No number: two nodes would count to the same one. */
  readonly id: string;
  readonly item: string;
  readonly quantity: number;
  readonly by: string;
}

const PROCESS_TOPIC = 'dashboard:process';
const MACHINE_TOPIC = 'dashboard:machine';
const ORDERS_TOPIC = 'orders';

interface Events {
  [ORDERS_TOPIC]: { order: Order };
  [PROCESS_TOPIC]: { process: ProcessFigures };
  [MACHINE_TOPIC]: { machine: MachineFigures };
}

const INTERVAL = 1_000;
const KEPT_ORDERS = 8;

/** What a user follows to see the dashboard. */
export function dashboardTopics(user: DemoUser): (string | TopicPattern)[] {
  const topics = [topicPattern('dashboard:*'), ORDERS_TOPIC];
  return user.admin ? [...topics, CONNECTIONS_TOPIC] : topics;
}

/** A filter: figures are those of the node that serves the stream, everything else is of all nodes. */
export function isOfThisNode({ metadata }: SSEEvent): boolean {
  return (metadata?.['node'] ?? NODE_NAME) === NODE_NAME;
}

@Injectable()
export class DashboardService implements OnModuleInit, OnModuleDestroy {
  readonly #figures = new Figures();
  #orders: readonly Order[] = [];
  #measuring = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly sse: SSEService<Events>) {
    sse.observe(ORDERS_TOPIC).subscribe(({ data }) => {
      this.#orders = [data, ...this.#orders].slice(0, KEPT_ORDERS);
    });
  }

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

  /** Newest first. */
  recentOrders(): readonly Order[] {
    return this.#orders;
  }

  #tick(): void {
    const watched = this.sse.getClientCount(PROCESS_TOPIC) > 0;
    if (watched && this.#measuring) return this.#publish();
    // Nobody watches: nothing is measured. The first viewer starts it, and there is something to tell a tick later.
    if (watched === this.#measuring) return;
    this.#measuring = watched;
    if (watched) this.#figures.start(this.sse.stats());
    else this.#figures.stop();
  }

  #publish(): void {
    const { process, machine } = this.#figures.take(this.sse.stats());
    const metadata = { node: NODE_NAME };
    this.sse.broadcast({ topic: PROCESS_TOPIC, event: 'process', data: process, metadata });
    this.sse.broadcast({ topic: MACHINE_TOPIC, event: 'machine', data: machine, metadata });
  }
}
