// Compiled with the types of a page, and with those of Node alone: test/client/types.spec.ts.
import { EventSource, type EventSourceOptions, type StreamEvent } from 'nestjs-sse-hub/client';

interface Shop {
  orders: { created: { id: number } };
  [order: `order:${string}`]: { updated: { total: number } };
}

const options: EventSourceOptions = { fetch: globalThis.fetch, headers: async () => Promise.resolve({ a: 'b' }) };
const source = new EventSource<Shop>('https://shop.example/events', options);
source.on('created', ({ id }) => id.toFixed());
source.on('updated', ({ total }, { lastEventId }) => [total.toFixed(), lastEventId]);
source.on('sse.reset', ({ topics, reason }) => [topics.join(), reason === 'epoch']);
source.onmessage = (event) => event.lastEventId;
source.onerror = ({ code, message }) => [code, message];
source.addEventListener('created', ({ data }) => data as string);
source.addEventListener('error', ({ message }) => message);
source.removeEventListener('created', null);
// @ts-expect-error no event of the shop
source.on('removed', () => {});

export async function loop(): Promise<number> {
  for await (const one of source) {
    if (one.event === 'created') return one.data.id;
    if (one.event === 'sse.open') return one.data.heartbeatInterval;
  }
  return 0;
}

export const untyped: StreamEvent<object>['event'] = 'anything';
