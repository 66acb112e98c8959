import { setImmediate as turnOfLoop } from 'node:timers/promises';

import { fromEvent, isObservable, lastValueFrom, type Observable, takeUntil, tap } from 'rxjs';

import { show } from '../../protocol/event.js';
import { SSEError } from '../../sse.error.js';
import { takeIn } from '../callbacks.js';

/** Milliseconds that a source which never waits for anything may have in one turn of the event loop. */
const TURN_BUDGET = 10;

/** Takes one value. Where it answers a promise, the next one is asked for when that has settled. */
export type Take = (value: unknown) => Promise<void> | undefined;

/**
 * Takes all values of a source, one after the other, until it has no more, or `signal` is aborted: a source that hangs is
 * left then. Rejects with what the source fails with, and with `INVALID_EVENT` for what is no source.
 */
export async function consume(source: unknown, signal: AbortSignal, take: Take): Promise<void> {
  assertSource(source);
  if (isObservable(source)) await consumeObservable(source, signal, take);
  else await consumeIterable(source as AsyncIterable<unknown> | Iterable<unknown>, signal, take);
}

// It cannot be asked to wait.
async function consumeObservable(source: Observable<unknown>, signal: AbortSignal, take: Take): Promise<void> {
  if (signal.aborted) return;
  const aborted = fromEvent(signal, 'abort');
  await lastValueFrom(
    source.pipe(
      takeUntil(aborted),
      tap((value) => void take(value)),
    ),
    { defaultValue: undefined },
  );
}

async function consumeIterable(
  source: AsyncIterable<unknown> | Iterable<unknown>,
  signal: AbortSignal,
  take: Take,
): Promise<void> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  const next = abortable(() => iterator.next(), signal);
  let turnBegan = performance.now();
  for (;;) {
    const step = await next();
    if (!step || signal.aborted) break;
    if (step.done) return;
    await take(step.value);
    if (performance.now() - turnBegan < TURN_BUDGET) continue;
    await turnOfLoop();
    turnBegan = performance.now();
  }
  // Not awaited: a generator that hangs gets to it only when it goes on.
  takeIn(iterator.return?.(undefined));
}

/** Each call settles with what `ask` answers, or with `undefined` as soon as `signal` is aborted. */
function abortable<T>(ask: () => T | Promise<T>, signal: AbortSignal): () => Promise<T | undefined> {
  let giveUp = (): void => {};
  // One listener for all calls: with one for each, those of a long run would add up.
  signal.addEventListener('abort', () => giveUp(), { once: true });
  return () =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return resolve(undefined);
      giveUp = () => resolve(undefined);
      Promise.resolve(ask()).then(resolve, reject);
    });
}

/** Throws `INVALID_EVENT`: what is no source would only be found out when viewers wait. */
export function assertSource(source: unknown): void {
  const isIterable =
    Object(source) === source && (Symbol.asyncIterator in (source as object) || Symbol.iterator in (source as object));
  if (isIterable || isObservable(source)) return;
  const hint = takeIn(source) ? ' Await the promise.' : '';
  throw new SSEError('INVALID_EVENT', `source: ${show(source)} is neither an AsyncIterable nor an Observable.${hint}`);
}
