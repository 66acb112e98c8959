import type { IncomingHttpHeaders } from 'node:http';

/** A wait that was in vain. The message says what came instead. */
export class WaitError extends Error {
  override readonly name = 'WaitError';
}

/** The answer was no event stream: the request was refused, or is answered in another form. */
export class StreamRefusedError extends Error {
  override readonly name = 'StreamRefusedError';

  constructor(
    message: string,
    /** Of the answer, such as 401; by 204 an EventSource is told not to come back. */
    readonly status: number,
    readonly headers: IncomingHttpHeaders,
    /** Read as JSON where it is JSON, else the text. */
    readonly body: unknown,
  ) {
    super(message);
  }
}

/** Does what a method is for, and has the stack of its errors begin where the method was called: in the test. */
export async function forCaller<T>(act: () => Promise<T>): Promise<T> {
  const call = { stack: '' };
  Error.captureStackTrace(call, forCaller);
  try {
    return await act();
  } catch (error) {
    if (error instanceof WaitError || error instanceof StreamRefusedError) {
      // The first line is the message, the second one the method.
      const [, , ...frames] = call.stack.split('\n');
      error.stack = [`${error.name}: ${error.message}`, ...frames].join('\n');
    }
    throw error;
  }
}
