import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';

import { isName } from '../validate.js';

/** Milliseconds for which nobody listens. */
const RESTART_TIME = 1_500;

/**
 * Breaks connections on purpose, so that a page can show that it survives that. An application needs nothing of this
 * file: the hub knows neither these sockets nor that somebody plays with them.
 */
@Injectable()
export class BadNetwork implements OnModuleDestroy {
  /** What streams of a tab are carried by. */
  readonly #sockets = new Map<string, Set<Socket>>();
  /** Until when a tab has no network, on the clock of `performance.now()`. */
  readonly #offline = new Map<string, number>();
  #restart: NodeJS.Timeout | undefined;

  constructor(private readonly host: HttpAdapterHost) {}

  onModuleDestroy(): void {
    clearTimeout(this.#restart);
  }

  /** A middleware, because it comes before guards and handlers: a tab without a network reaches none of them. */
  readonly carry = (request: IncomingMessage, response: ServerResponse, next: () => void): void => {
    const tab = tabOf(request);
    if (tab === undefined) return next();
    const { socket } = request;
    if (performance.now() < (this.#offline.get(tab) ?? 0)) return void socket.destroy();
    this.#offline.delete(tab);
    const sockets = this.#sockets.get(tab) ?? new Set();
    this.#sockets.set(tab, sockets.add(socket));
    response.once('close', () => {
      sockets.delete(socket);
      if (sockets.size === 0 && this.#sockets.get(tab) === sockets) this.#sockets.delete(tab);
    });
    next();
  };

  cut(tab: string): void {
    for (const socket of this.#sockets.get(tab) ?? []) socket.destroy();
  }

  /** What comes meanwhile is cut before it is answered. */
  takeOffline(tab: string, milliseconds: number): void {
    this.#offline.set(tab, performance.now() + milliseconds);
    this.cut(tab);
  }

  /** Node keeps what is written to a corked socket, and says that it is full as that of a slow reader is. */
  slowDown(tab: string, milliseconds: number): void {
    for (const socket of this.#sockets.get(tab) ?? []) {
      socket.cork();
      setTimeout(() => socket.uncork(), milliseconds).unref();
    }
  }

  /** The port is closed with all its connections, and opened again. */
  restart(): void {
    const server = this.host.httpAdapter.getHttpServer() as Server;
    // Somebody else has asked for the same a moment ago: it is on its way back.
    if (!server.listening) return;
    const { port, address } = server.address() as AddressInfo;
    server.close();
    server.closeAllConnections();
    // Fastify has a second listener where "localhost" has two addresses; streams may be on that one.
    for (const tab of this.#sockets.keys()) this.cut(tab);
    this.#restart = setTimeout(() => server.listen(port, address), RESTART_TIME);
  }
}

function tabOf(request: IncomingMessage & { originalUrl?: string }): string | undefined {
  const { searchParams } = new URL(request.originalUrl ?? request.url ?? '/', 'http://localhost');
  const tab = searchParams.get('tab');
  return isName(tab) ? tab : undefined;
}
