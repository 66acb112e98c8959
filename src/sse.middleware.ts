import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage } from 'node:http';

import { Injectable, type NestMiddleware } from '@nestjs/common';

import type { SSEClient } from './sse.client.js';
import type { Route } from './sse.route.js';

/** What one call of `addClient()` answered. */
export interface WebAnswer {
  readonly answer: { readonly client: SSEClient; readonly response: Response };
  /** Gives up what it opened. */
  readonly abandon: () => void;
}

/** The request that is being handled. Whoever learns more about it adds that here. */
export class CurrentRequest {
  /** What handlers are given: on Fastify the reply, which has headers of its own, as soon as that is known. */
  response: unknown;
  /** Known when its handler is about to run; never for what is no HTTP handler, such as a resolver of GraphQL. */
  route: Route | undefined;
  /** `stream()` was subscribed to for it. */
  streams = false;
  /** How many of those streams are open. */
  openStreams = 0;
  /** Ends the answer of an `@Sse()` handler, whatever else it consists of. */
  end: (() => void) | undefined;
  /** Hands over the first messages of a stream, and looks at what becomes of them. */
  onFirst: ((emit: () => void) => void) | undefined;
  /** The stream of an `@EventStream()` handler is open, or was: nobody else writes to the response. */
  isOpened = false;
  /** What an `@EventStream()` handler has thrown, whatever interceptors make of that. */
  failure: { readonly error: unknown } | undefined;
  /** When it came, on the clock of `performance.now()`. */
  readonly askedAt = performance.now();
  /** Its handler has done something to a group: then what it decides is decided behind that. */
  actsOnGroups = false;
  #answers: WebAnswer[] | undefined;

  constructor(
    readonly request: IncomingMessage,
    response: unknown,
  ) {
    this.response = response;
  }

  get answers(): readonly WebAnswer[] {
    return this.#answers ?? [];
  }

  answered(answer: WebAnswer): void {
    (this.#answers ??= []).push(answer);
  }
}

const storage = new AsyncLocalStorage<CurrentRequest>();
/** The services of applications that serve HTTP now. */
const served = new Set<object>();

/** From now on each request that a handler of the service's application sees is kept at hand. */
export function startKeepingRequests(service: object): void {
  served.add(service);
}

/** With the last application, because a store that is in use costs every asynchronous step of the process something. */
export function stopKeepingRequests(service: object): void {
  if (served.delete(service) && served.size === 0) storage.disable();
}

/** Whether requests of the service's application are kept: where none is found then, something has gone wrong. */
export function keepsRequests(service: object): boolean {
  return served.has(service);
}

/** The request on whose behalf the code is running, inside a Nest application. */
export function currentRequest(): CurrentRequest | undefined {
  return storage.getStore();
}

/** Runs on behalf of the request. */
export function onBehalfOf<T>(current: CurrentRequest, act: () => T): T {
  return storage.getStore() === current ? act() : storage.run(current, act);
}

/** On the response, for who has that and may have lost the asynchronous context. */
const CURRENT = Symbol('the request that it answers');

/** Has `currentRequestOf()` know what the response belongs to. */
export function keepOnResponse(current: CurrentRequest): void {
  (rawOf(current.response) as { [CURRENT]?: CurrentRequest })[CURRENT] = current;
}

/** The request that a response answers, once its handler is known, inside a Nest application. */
export function currentRequestOf(response: object): CurrentRequest | undefined {
  return (rawOf(response) as { readonly [CURRENT]?: CurrentRequest })[CURRENT];
}

/** Node's own request or response, under what the framework has put around it. */
export function rawOf<T>(wrapped: T): T {
  return (wrapped as { readonly raw?: T }).raw ?? wrapped;
}

/**
 * Keeps the current request at hand, so that `stream()` and `addClient()` find its last event ID by themselves. All that
 * Nest does for a request happens within a middleware's `next()`; an interceptor holds only what is called, and not what
 * is subscribed to, within its `handle()`.
 */
@Injectable()
export class SSEMiddleware implements NestMiddleware {
  use(request: IncomingMessage, response: unknown, next: () => void): void {
    storage.run(new CurrentRequest(rawOf(request), response), next);
  }
}
