import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What every contender publishes: an object, because that is what applications have in their hands. */
export interface Payload {
  /** The marker that the generator counts, and the time of publishing. */
  readonly mark: string;
  readonly text: string;
}

export interface ContenderOptions {
  /** Keep what is published, and replay it to those who come with a last event ID. */
  readonly history: boolean;
}

/** A running server. Its streams are at `/events/<topic>[,<topic>…]`. */
export interface ContenderServer {
  readonly port: number;
  publish(topic: string, payload: Payload): void;
  /** For those that hand events to another process: settles when it has taken them. */
  settled?(): Promise<void>;
  /** Open streams. */
  clients(): number | Promise<number>;
  /** Open connections, also those whose streams are over. */
  connections(): number | Promise<number>;
  /** CPU time in microseconds so far, where it is not this process that works. */
  cpu?(): number;
  /** Resident bytes, likewise. */
  rss?(): number;
  close(): Promise<void>;
}

export interface Contender {
  readonly label: string;
  /** `ours`: this library. `yardstick`: what is 1.0. `floor`: what is left without any care. Everything else is a peer. */
  readonly role: 'yardstick' | 'floor' | 'ours' | 'peer';
  /** Its clients ask for gzip, and it is out of the race if it does not answer with it. */
  readonly gzip?: boolean;
  /** Its clients share one connection of HTTP/2. */
  readonly http2?: boolean;
  /** Why it cannot run here, if so. */
  readonly missing?: () => string | undefined;
  start(options: ContenderOptions): Promise<ContenderServer>;
}

export const EVENT_NAME = 'tick';

export function topicsOf(url: string): string[] {
  return url.slice(url.lastIndexOf('/') + 1).split(',');
}

export function lastEventIdOf(request: IncomingMessage): string | undefined {
  const header = request.headers['last-event-id'];
  return typeof header === 'string' ? header : undefined;
}

export async function listen(handler: RequestListener): Promise<Server> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, resolve));
  return server;
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

export function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}

export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}
