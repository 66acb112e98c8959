import { EventEmitter, on } from 'node:events';

import { type Observable, Subscription } from 'rxjs';

/**
 * What an Observable emits, one after another. A reader for which more than `limit` events wait gets an error, and no more.
 * There is no end when the Observable completes, as it does when the hub stops: a client that is told so never comes back.
 */
export function iterate<T>(source: Observable<T>, limit = 1_000): AsyncIterableIterator<T> {
  const events = new EventEmitter();
  const emitted = on(events, 'event');
  const subscription = new Subscription();
  let waiting = 0;
  const fail = (error: unknown): void => {
    subscription.unsubscribe();
    events.emit('error', error);
  };
  const next = (event: T): void => {
    if (waiting++ < limit) events.emit('event', event);
    else fail(new Error(`More than ${limit} events wait for a reader.`));
  };
  subscription.add(source.subscribe({ next, error: fail }));
  return {
    async next() {
      const { done, value } = (await emitted.next()) as IteratorResult<[T], undefined>;
      if (done) return { done, value };
      waiting--;
      return { value: value[0] };
    },
    return() {
      subscription.unsubscribe();
      return emitted.return!() as Promise<IteratorResult<T>>;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
