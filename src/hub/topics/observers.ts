import { filter, merge, type Observable, type Subject } from 'rxjs';

import type { SSEEvent } from '../../protocol/event.js';
import type { Following } from '../clients/followers.js';
import { Selection } from '../clients/followers.js';
import { GuardedObservable } from './guarded-observable.js';
import type { Topics } from './topics.js';

export interface ObserversContext {
  readonly topics: Topics;
  /** Every event that has a topic. */
  readonly publications: Subject<Readonly<SSEEvent>>;
  readonly delimiter: string;
  readonly onError: (error: unknown) => void;
}

/** Events of topics as they are delivered. One that matches twice comes once. */
export function observe(follow: () => Following, context: ObserversContext): Observable<Readonly<SSEEvent>> {
  return new GuardedObservable(context.onError, (subscriber) => {
    const selection = new Selection(follow(), context.delimiter);
    if (selection.hasPatterns) {
      const followed = filter(({ topic = '' }: Readonly<SSEEvent>) => selection.follows(topic));
      return context.publications.pipe(followed).subscribe(subscriber);
    }
    const topics = [...selection.topics].map((name) => context.topics.open(name));
    const subscription = merge(...topics.map(({ subject }) => subject)).subscribe(subscriber);
    return () => {
      subscription.unsubscribe();
      for (const topic of topics) context.topics.collect(topic);
    };
  });
}
