import { describe, expect, it } from '@jest/globals';

import { TypeScriptService } from '../support/typescript-service.js';

const editor = new TypeScriptService(`
import { SSEService, topicPattern } from 'nestjs-sse-hub';
interface Order { id: number; total: number }
interface Events {
  orders: { created: Order; removed: { id: number } };
  [order: \`order:\${string}\`]: { updated: Order; message: string };
  '**': { maintenance: { minutes: number } };
}
declare const sse: SSEService<Events>;
declare const untyped: SSEService;
declare const response: import('node:http').ServerResponse;
declare const order: Order;
declare const id: number;
declare const app: import('@nestjs/common').INestApplication;
declare const name: string;
declare const orders: AsyncIterable<Order> & { map<T>(map: (order: Order) => T): AsyncIterable<T> };
declare function texts(signal: AbortSignal): AsyncIterable<string>;
`);

describe('typed topics', () => {
  for (const code of [
    "sse.broadcast('orders', 'created', order);",
    "sse.broadcast(`order:${id}`, 'updated', order, 'own-id', { except: 'c' });",
    "void sse.publish('order:7', 'updated', order);",
    "sse.broadcast({ topic: 'orders', event: 'removed', data: { id: 7 } }, { exceptGroup: 'g' });",
    "sse.broadcast({ topic: `order:${id}`, data: 'an event without a name' });",
    "sse.broadcastAll('maintenance', { minutes: 5 });",
    "sse.sendTo('c', 'maintenance', { minutes: 5 });",
    "sse.sendEvent('c', { event: 'created', data: order });",
    "void sse.publishFrom(orders, 'order:7', 'updated');",
    "sse.stream(['orders', topicPattern('order:*'), topicPattern('**')], { initial: { event: 'created', data: order } });",
    "sse.createClient(response, { topics: `order:${id}`, initial: () => [{ event: 'created', data: order }] });",
    "sse.subscribe('c', 'orders'); sse.closeTopic('order:7'); sse.subscribeGroup('g', topicPattern('order:*'));",
    "void sse.groupsOf('orders'); void sse.countClients(`order:${id}`);",
    "sse.run('order:7', () => orders, { event: 'updated', merge: ([first]) => first });",
    "sse.run(`order:${id}`, async () => orders.map(o => o), { event: 'updated', failed: { data: 'sorry' } });",
    "sse.run('order:7', (signal) => texts(signal), { last: { data: '[DONE]' }, merge: (chunks) => chunks.join('') });",
    "sse.run('order:7', function* () { yield { event: 'updated' as const, data: order }; yield 'text'; });",
    'untyped.run(name, () => orders, { merge: (chunks) => chunks.find(({ total }) => total > 0) });',
    "untyped.run(name, () => orders, { event: name, last: { data: 1 } }); sse.cancelRun('order:7'); sse.getRun('orders')?.state;",
    "sse.createClient(response, { topics: 'order:7', from: 0, merge: (chunks: readonly Order[]) => chunks[0] });",
    'const got: SSEService = app.get(SSEService); const inferred = app.get(SSEService); const same: SSEService = inferred;',
    "untyped.broadcast(name, name, { any: 'data' }); untyped.observe<Order>(name).subscribe(({ data }) => data.total);",
    "untyped.broadcast({ topic: name, data: 1 }); untyped.stream(topicPattern(name)); untyped.sendTo('c', name, 1);",
  ]) {
    it(`takes ${code}`, () => expect(editor.errorsIn(code)).toEqual([]));
  }

  for (const [code, message] of [
    [
      "sse.broadcast('ordrs', 'created', order);",
      'Argument of type \'"ordrs"\' is not assignable to parameter of type \'`order:${string}` | "orders"\'.',
    ],
    ["sse.broadcast(name, 'created', order);", "Argument of type 'string' is not assignable to parameter of type"],
    [
      "sse.broadcast('orders', 'creatd', order);",
      'Argument of type \'"creatd"\' is not assignable to parameter of type \'"created" | "removed"\'.',
    ],
    [
      "sse.broadcast(`order:${id}`, 'created', order);",
      'Argument of type \'"created"\' is not assignable to parameter of type \'"updated" | "message"\'.',
    ],
    [
      "sse.broadcast('orders', 'created', { id: 7 });",
      "Argument of type '{ id: number; }' is not assignable to parameter of type 'Order'.\n" +
        "  Property 'total' is missing in type '{ id: number; }' but required in type 'Order'.",
    ],
    [
      "void sse.publish({ topic: 'orders', event: 'removed', data: { id: '7' } });",
      "Type 'string' is not assignable to type 'number'.",
    ],
    ["sse.broadcast({ topic: 'orders', event: 'creatd', data: order });", '\'"creatd"\' is not assignable to type'],
    ["sse.broadcast({ topic: 'ordrs', event: 'created', data: order });", '\'"ordrs"\' is not assignable to type'],
    ["sse.broadcastAll('maintenence', { minutes: 5 });", '\'"maintenence"\' is not assignable to parameter of type'],
    ["sse.sendTo('c', 'maintenance', { hours: 5 });", "'hours' does not exist in type '{ minutes: number; }'."],
    ["sse.sendEvent('c', { event: 'created', data: 7 });", "Type 'number' is not assignable to type "],
    ["sse.stream('ordrs');", '"ordrs"'],
    ["sse.createClient(response, { topics: ['ordrs'] });", '"ordrs"'],
    [
      "sse.createClient(response, { initial: { event: 'created', data: 7 } });",
      "'number' is not assignable to type 'Order'.",
    ],
    ["void sse.publishFrom(orders, 'orders', 'removed2');", '\'"removed2"\' is not assignable to parameter of type'],
    ["void sse.publishFrom(orders, 'order:7', 'message');", "is not assignable to type 'string'"],
    ["sse.run('ordrs', () => orders, { event: 'updated' });", '\'"ordrs"\' is not assignable to parameter of type'],
    ["sse.run('order:7', () => orders, { event: 'updatd' });", 'Did you mean \'"updated"\'?'],
    ["sse.run('order:7', () => [7], { event: 'updated' });", "is not assignable to type 'RunSource<Order>"],
    ["sse.run('order:7', () => [7]);", "Type 'number[]' is not assignable to type 'RunSource<string |"],
    ["sse.cancelRun('ordrs');", '\'"ordrs"\' is not assignable to parameter of type'],
    ["sse.closeTopic('ordrs');", '\'"ordrs"\' is not assignable to parameter of type'],
    ["sse.broadcast('**', 'maintenance', { minutes: 5 });", '\'"**"\' is not assignable to parameter of type'],
    ["sse.observe('ordrs');", '"ordrs"'],
  ] as const) {
    it(`refuses ${code}, in one message`, () => {
      const errors = editor.errorsIn(code);
      expect(errors).toHaveLength(1);
      expect(errors[0]).toContain(message);
    });
  }

  it('are known to whoever observes them', () => {
    const use = (observed: string, name: string): string[] =>
      editor.errorsIn(`sse.observe(${observed}).subscribe(({ event, data }) => event === '${name}' && data.total);`);
    for (const [observed, name, other] of [
      ["'orders'", 'created', 'removed'],
      ['`order:${id}`', 'updated', 'message'],
      ["topicPattern('order:*')", 'updated', 'message'],
      ["['orders', topicPattern('order:*')]", 'updated', 'removed'],
      ["topicPattern('**')", 'created', 'removed'],
    ] as const) {
      expect(use(observed, name)).toEqual([]);
      expect(use(observed, other)).toEqual([expect.stringContaining("Property 'total' does not exist on type")]);
    }
    expect(use("'orders'", 'updated')[0]).toContain('have no overlap');
    expect(editor.errorsIn("sse.observe<string>('orders').subscribe(({ data }) => data.length);")).toEqual([]);
  });

  it('are proposed by an editor, with the names of their events and their data', () => {
    expect(editor.completionsIn("sse.broadcast('|');")).toEqual(expect.arrayContaining(['orders']));
    expect(editor.completionsIn("sse.broadcast('orders', '|');")).toEqual(
      expect.arrayContaining(['created', 'removed']),
    );
    expect(editor.completionsIn("sse.broadcast('orders', 'created', { | });")).toEqual(['id', 'total']);
    expect(editor.completionsIn("sse.broadcast({ topic: 'orders', event: '|' });")).toEqual(
      expect.arrayContaining(['created', 'removed']),
    );
    expect(editor.completionsIn("sse.stream('|');")).toEqual(expect.arrayContaining(['orders']));
  });
});
