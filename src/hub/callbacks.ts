import { AsyncResource } from 'node:async_hooks';
import { types } from 'node:util';

/**
 * The asynchronous context of nobody. Made as the module is loaded: made later, it would be somebody's, for instance of the
 * request that is the first to use the hub.
 */
const nobody = new AsyncResource('SSEHub');

/**
 * Does something in no request's asynchronous context: what is about none of them, and what goes on after the one in which
 * it begins (a timer, the end of a turn, the reading of the log). It would keep that request's store, and show it to others.
 */
export function inNoContext<Result>(act: () => Result): Result {
  return nobody.runInAsyncScope(act);
}

/** Whether a callback answered a promise. Where nobody waits for one, its rejection would end the process. */
export function takeIn(answer: unknown, onRejected: (error: unknown) => void = () => {}): boolean {
  if (!types.isPromise(answer)) return false;
  answer.catch(onRejected);
  return true;
}

/** Has `deserialize` of the application read a text, for nobody in particular: what comes out is for all. */
export function readBack(deserialize: (text: string) => unknown, text: string): unknown {
  const data = inNoContext(() => deserialize(text));
  if (takeIn(data)) throw new TypeError('deserialize() answered a promise; it has to answer at once');
  return data;
}
