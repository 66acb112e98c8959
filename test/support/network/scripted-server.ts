import { once } from 'node:events';
import http, { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** A request as it was. */
export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly at: number;
}

/** Answers one request; its number counts from 0. */
export type Answer = (response: ServerResponse, number: number, request: IncomingMessage) => void;

/** A server that answers each request as a test says. */
export class ScriptedServer {
  readonly asked: Asked[] = [];
  readonly #server: http.Server;

  private constructor(answer: Answer) {
    this.#server = http.createServer((request, response) => {
      void text(request).then((body) => {
        const { method = '', url = '', headers } = request;
        this.asked.push({ method, url, headers, body, at: performance.now() });
        answer(response, this.asked.length - 1, request);
      });
    });
  }

  static async start(answer: Answer): Promise<ScriptedServer> {
    const scripted = new ScriptedServer(answer);
    scripted.#server.listen(0, '127.0.0.1');
    await once(scripted.#server, 'listening');
    return scripted;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/events`;
  }

  get lastEventIds(): (string | undefined)[] {
    return this.asked.map(({ headers }) => headers['last-event-id'] as string | undefined);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Begins an event stream with this text. */
export function stream(response: ServerResponse, begin = ''): ServerResponse {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
  response.write(begin);
  return response;
}
