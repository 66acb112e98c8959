import { HttpException } from '@nestjs/common';

import { show } from './protocol/event.js';

const STATUS = {
  CLIENT_NOT_FOUND: 404,
  CLIENT_EXISTS: 409,
  TOPIC_CLOSED: 409,
  RUN_EXISTS: 409,
  TOO_MANY_CLIENTS: 503,
  TOO_MANY_TOPICS: 400,
  EVENT_TOO_LARGE: 413,
  INVALID_EVENT: 400,
  INVALID_TOPIC: 400,
  INVALID_ROUTE: 500,
  INVALID_CONFIG: 500,
  SEND_ERROR: 500,
  BACKPLANE_UNAVAILABLE: 503,
  DISABLED: 503,
  SHUTTING_DOWN: 503,
} as const;

function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message : show(cause);
}

export type SSEErrorCode = keyof typeof STATUS;

/**
 * What this library throws. `code` says what happened, the message what was wrong and what to do instead. It is an
 * HttpException because Nest answers 500 to anything else.
 *
 * @example
 * try {
 *   sse.sendEvent(clientId, { data: 'hello' });
 * } catch (error) {
 *   if (error instanceof SSEError && error.code === 'CLIENT_NOT_FOUND') return;
 *   throw error;
 * }
 */
export class SSEError extends HttpException {
  override readonly name = 'SSEError';

  constructor(
    readonly code: SSEErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super({ statusCode: STATUS[code], code, message }, STATUS[code], options);
    // What the application's own code said may be in its logs, and not in the answer to a visitor.
    this.message = options?.cause === undefined ? message : `${message} ${describe(options.cause)}`;
  }
}

/** `INVALID_CONFIG`, for an option that has not the value that it may have. */
export function invalid(option: string, value: unknown, allowed: string): SSEError {
  return new SSEError('INVALID_CONFIG', `SSE option \`${option}\` is ${show(value)}; it has to be ${allowed}.`);
}
