import { filter, merge, type Observable, type Subject } from 'rxjs';

import type { SSEEvent } from '../../protocol/event.js';
import { Following, type TopicsAndPatterns } from './following.js';
import { GuardedObservable } from './guarded-observable.js';
import type { Follower, Topics } from './topics.js';

export interface ObserversContext {
  readonly topics: Topics<Follower>;
  /** Every event that has a topic. */
  readonly publications: Subject<Readonly<SSEEvent>>;
  readonly delimiter: string;
  readonly onError: (error: unknown) => void;
}

/** Events of topics as they are delivered. One that matches twice comes once. */
export function observe(follow: () => TopicsAndPatterns, context: ObserversContext): Observable<Readonly<SSEEvent>> {
  return new GuardedObservable(context.onError, (subscriber) => {
    const following = new Following(follow(), context.delimiter);
    if (following.hasPatterns) {
      const followed = filter(({ topic = '' }: Readonly<SSEEvent>) => following.follows(topic));
      return context.publications.pipe(followed).subscribe(subscriber);
    }
    const topics = [...following.topics].map((name) => context.topics.open(name));
    const subscription = merge(...topics.map(({ subject }) => subject)).subscribe(subscriber);
    return () => {
      subscription.unsubscribe();
      for (const topic of topics) context.topics.collect(topic);
    };
  });
}
