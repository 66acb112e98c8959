import { Controller, type MessageEvent, Param, Sse } from '@nestjs/common';
import { merge, Observable, Subject } from 'rxjs';

import { type Contender, EVENT_NAME, topicsOf } from './contender.js';
import { type Platform, serverOf, startNest } from './nest-app.js';

/** What Nest's documentation shows: an Observable for each client, here of one Subject per topic. */
function nestSubject(platform: Platform): Contender {
  return {
    label: `@Sse() with a Subject, ${platform}`,
    role: 'peer',
    async start() {
      const subjects = new Map<string, Subject<MessageEvent>>();
      let clients = 0;
      const subjectOf = (topic: string): Subject<MessageEvent> => {
        const subject = subjects.get(topic) ?? new Subject<MessageEvent>();
        subjects.set(topic, subject);
        return subject;
      };

      @Controller()
      class SubjectController {
        @Sse('events/:topics')
        events(@Param('topics') topics: string): Observable<MessageEvent> {
          const [first, ...others] = topicsOf(topics).map(subjectOf);
          const source = others.length === 0 ? first! : merge(first!, ...others);
          // Counts without an operator, which every event would have to pass.
          return new Observable((subscriber) => {
            clients++;
            subscriber.add(() => clients--);
            return source.subscribe(subscriber);
          });
        }
      }

      const app = await startNest(platform, SubjectController);
      return {
        ...serverOf(app),
        publish: (topic, payload) => subjects.get(topic)?.next({ type: EVENT_NAME, data: payload }),
        clients: () => clients,
      };
    },
  };
}

export const subjectExpress = nestSubject('Express');
export const subjectFastify = nestSubject('Fastify');
