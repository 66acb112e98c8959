import { Server as HttpServer } from 'node:http';
import { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';

import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';

import { isAnswering } from './transport/connection.js';

/** Milliseconds that a connection has for its first request once the application closes: who comes back is told so. */
const GRACE = 1_000;

/**
 * Connections on which nothing has been asked for, as browsers open them to be quick. A server that closes waits for
 * them, without the timeouts that it has for them otherwise: so they are closed here.
 */
@Injectable()
export class SilentConnections implements OnModuleInit, OnModuleDestroy {
  readonly #sockets = new Set<Socket>();
  readonly #forget: (this: Socket) => void;
  #closing = false;

  constructor(private readonly host: HttpAdapterHost) {
    const sockets = this.#sockets;
    // One for all: whoever asks for something is to keep nothing of this.
    this.#forget = function (this: Socket): void {
      sockets.delete(this);
    };
  }

  onModuleInit(): void {
    // None in a context without HTTP; and sessions of HTTP/2 are for their own server to close.
    const server: unknown = this.host.httpAdapter?.getHttpServer();
    if (!(server instanceof HttpServer) && !(server instanceof HttpsServer)) return;
    server.on(server instanceof HttpsServer ? 'secureConnection' : 'connection', (socket: Socket) => this.#add(socket));
    server.on('request', ({ socket }) => {
      if (this.#sockets.delete(socket)) socket.off('close', this.#forget);
    });
  }

  onModuleDestroy(): void {
    this.#closing = true;
    for (const socket of this.#sockets) this.#closeLater(socket);
  }

  #add(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', this.#forget);
    if (this.#closing) this.#closeLater(socket);
  }

  #closeLater(socket: Socket): void {
    setTimeout(() => {
      // Another protocol may have taken it over, or another listener its request.
      if (this.#sockets.has(socket) && !isAnswering(socket)) socket.destroy();
    }, GRACE).unref();
  }
}
