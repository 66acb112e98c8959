import { filter, merge, type Observable, type Subject } from 'rxjs';

import type { SSEEvent } from '../../protocol/event.js';
import { CatchingUp, type CatchingUpContext } from './catching-up.js';
import { Following, type TopicsAndPatterns } from './following.js';
import { GuardedObservable } from './guarded-observable.js';
import type { Follower, Topics } from './topics.js';

export interface ObserversContext extends CatchingUpContext {
  readonly topics: Topics<Follower>;
  /** Every event that has a topic. */
  readonly publications: Subject<Readonly<SSEEvent>>;
  /** Those who began in the past, to be told of whatever is new in the log. */
  readonly catchingUp: Set<CatchingUp>;
  readonly delimiter: string;
  readonly onError: (error: unknown) => void;
}

/** Events of topics as they are delivered, and before them what is retained and newer than `since`. One that matches twice comes once. */
export function observe(
  follow: () => TopicsAndPatterns,
  since: number | undefined,
  context: ObserversContext,
): Observable<Readonly<SSEEvent>> {
  return new GuardedObservable(context.onError, (subscriber) => {
    const following = new Following(follow(), context.delimiter);
    if (since !== undefined) {
      const observer = new CatchingUp(following, since, subscriber, context);
      context.catchingUp.add(observer);
      observer.read();
      return () => context.catchingUp.delete(observer);
    }
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
