import { forCaller } from './stream-errors.js';
import { requestStream, type StreamRequest, type StreamTarget } from './stream-request.js';
import { TestStream } from './test-stream.js';

/**
 * Opens an event stream over a real connection, and answers when it is open: what is published from then on comes.
 *
 * An application or server that does not listen yet is made to, on a free port of this machine. `app.close()` ends its
 * streams, so there is nothing else to clean up.
 *
 * @throws StreamRefusedError with `status` and `body`, when the answer is no event stream.
 * @throws WaitError when there is none in time.
 *
 * @example
 * const stream = await openStream(app, '/orders/7', { headers: { authorization: 'Bearer …' } });
 * sse.broadcast('order:7', 'created', { id: 7 });
 * const { data } = await stream.next('created');
 *
 * // With types: the names of the events, and their data.
 * const typed = await openStream<{ created: Order; deleted: null }>(app, '/orders/7');
 * console.log((await typed.next('created')).data.id);
 */
export function openStream<Events extends object = Record<string, unknown>>(
  target: StreamTarget,
  path: string,
  request: StreamRequest = {},
): Promise<TestStream<Events>> {
  const { timeout = 2_000, lastEventId = '' } = request;
  const stream = new TestStream<Events>(
    (cursor, other = target) => requestStream(other, path, { ...request, timeout, lastEventId: cursor }),
    timeout,
    lastEventId,
  );
  return forCaller(async () => {
    await stream.resume();
    return stream;
  });
}
