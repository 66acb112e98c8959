import { Injectable } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';
import { DataSource, type EntitySubscriberInterface, type InsertEvent, type QueryRunner } from 'typeorm';

import { Order } from './order.entity.js';

interface Running {
  readonly queryRunner: QueryRunner;
}

@Injectable()
export class OrderSubscriber implements EntitySubscriberInterface<Order> {
  /** What is to be told: a list for the transaction, and one for each that is open within it. */
  readonly #created = new WeakMap<QueryRunner, Order[][]>();

  constructor(
    data: DataSource,
    private readonly sse: SSEService,
  ) {
    data.subscribers.push(this);
  }

  listenTo() {
    return Order;
  }

  afterTransactionStart({ queryRunner }: Running) {
    this.#created.set(queryRunner, [...this.#listsOf(queryRunner), []]);
  }

  afterInsert({ queryRunner, entity }: InsertEvent<Order>) {
    const list = this.#listsOf(queryRunner).at(-1);
    if (list) list.push(entity);
    else this.#tell([entity]);
  }

  afterTransactionCommit({ queryRunner }: Running) {
    const committed = this.#listsOf(queryRunner).pop() ?? [];
    const outer = this.#listsOf(queryRunner).at(-1);
    if (outer) outer.push(...committed);
    else this.#tell(committed);
  }

  afterTransactionRollback({ queryRunner }: Running) {
    this.#listsOf(queryRunner).pop();
  }

  #listsOf(queryRunner: QueryRunner): Order[][] {
    return this.#created.get(queryRunner) ?? [];
  }

  #tell(orders: readonly Order[]) {
    for (const order of orders) this.sse.broadcast('orders', 'created', order);
  }
}
