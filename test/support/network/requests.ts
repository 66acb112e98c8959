import type { IncomingMessage, Server } from 'node:http';

import type { INestApplication } from '@nestjs/common';

export interface SeenRequest {
  readonly url: string;
  /** As Node reads it. */
  readonly lastEventId: string | undefined;
  /** Known once it has been answered. */
  status: number | undefined;
}

/**
 * Writes down what is asked of an application below a path, in order. To be called before it listens. A browser asks for
 * more than it is told to, such as an icon, and whenever it likes.
 */
export function watchRequests(app: INestApplication, below: string): SeenRequest[] {
  const seen: SeenRequest[] = [];
  (app.getHttpServer() as Server).prependListener('request', (request: IncomingMessage, response) => {
    if (!request.url?.startsWith(below)) return;
    const header = request.headers['last-event-id'];
    const one: SeenRequest = { url: request.url, lastEventId: header as string | undefined, status: undefined };
    seen.push(one);
    response.once('close', () => {
      one.status = response.statusCode;
    });
  });
  return seen;
}
