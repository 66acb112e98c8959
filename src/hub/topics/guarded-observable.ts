import { Observable, type Observer, type Operator, Subscriber, type Subscription, type TeardownLogic } from 'rxjs';

import { takeIn } from '../callbacks.js';

type OnError = (error: unknown) => void;

/**
 * An Observable whose observers may throw, or be async and reject: the error is reported, and neither reaches the publisher
 * nor, as RxJS would have it, the process. https://rxjs.dev/api/index/interface/GlobalConfig#onUnhandledError
 */
export class GuardedObservable<T> extends Observable<T> {
  constructor(
    private readonly onError: OnError,
    subscribe?: (subscriber: Subscriber<T>) => TeardownLogic,
  ) {
    super(subscribe);
  }

  // What operators make of it is guarded too: the last one in a pipe is what applications subscribe to.
  override lift<R>(operator?: Operator<T, R>): Observable<R> {
    const lifted = new GuardedObservable<R>(this.onError);
    lifted.source = this;
    lifted.operator = operator as Operator<unknown, R>;
    return lifted;
  }

  override subscribe(
    observerOrNext?: Partial<Observer<T>> | ((value: T) => void) | null,
    error?: ((error: unknown) => void) | null,
    complete?: (() => void) | null,
  ): Subscription {
    // Operators and firstValueFrom() bring a subscriber of their own.
    if (observerOrNext instanceof Subscriber) return super.subscribe(observerOrNext);
    const observer: Partial<Observer<T>> =
      typeof observerOrNext === 'function'
        ? { next: observerOrNext, error: error ?? undefined, complete: complete ?? undefined }
        : (observerOrNext ?? {});
    const guard = <A extends unknown[]>(act: (...args: A) => unknown) => {
      return (...args: A): void => {
        try {
          takeIn(act(...args), this.onError);
        } catch (thrown) {
          this.onError(thrown);
        }
      };
    };
    return super.subscribe({
      next: guard((value: T) => observer.next?.(value)),
      error: guard((thrown: unknown) => (observer.error ? observer.error(thrown) : this.onError(thrown))),
      complete: guard(() => observer.complete?.()),
    });
  }

  // It brings a subscriber of its own, too. What its callback throws, its own promise tells.
  override forEach(next: (value: T) => unknown): Promise<void> {
    return super.forEach((value) => void takeIn(next(value), this.onError));
  }
}
