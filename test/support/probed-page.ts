import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

import { type BrowserKind, BrowserProcess } from './readers/browsers.js';

/**
 * The page of an application in a browser that has no driver: it is served with one script more, the probe, which does
 * what a visitor would, and tells how it went.
 */
export class ProbedPage<Told> {
  readonly #server: http.Server;
  readonly #told: Promise<Told>;
  #browser: BrowserProcess | undefined;

  private constructor(
    private readonly application: string,
    probe: string,
  ) {
    let resolve: (told: Told) => void;
    this.#told = new Promise((settle) => (resolve = settle));
    this.#server = http.createServer((request, response) => {
      if (request.url === '/probe.js') return void response.setHeader('content-type', 'text/javascript').end(probe);
      if (request.url !== '/probe/told') return this.#forward(request, response);
      void text(request).then((body) => {
        response.end();
        resolve(JSON.parse(body) as Told);
      });
    });
  }

  /** `probe` is the text of a module, in which `tell(value)` tells, once. */
  static async open<Told>(kind: BrowserKind, application: string, probe: string): Promise<ProbedPage<Told>> {
    const telling = `const tell = (told) => fetch('/probe/told', { method: 'POST', body: JSON.stringify(told) });`;
    const page = new ProbedPage<Told>(application, `${telling}\n${probe}`);
    page.#server.listen(0, '127.0.0.1');
    await once(page.#server, 'listening');
    const { port } = page.#server.address() as AddressInfo;
    page.#browser = await BrowserProcess.start(kind, `http://127.0.0.1:${port}/`);
    return page;
  }

  get told(): Promise<Told> {
    return this.#told;
  }

  async close(): Promise<void> {
    await this.#browser?.close();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const { method, headers, url = '/' } = request;
    const forwarded = http.request(new URL(url, this.application), { method, headers }, (answer) => {
      if (url !== '/') {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
        return;
      }
      void text(answer).then((html) => {
        const { 'content-length': _length, ...rest } = answer.headers;
        response.writeHead(answer.statusCode!, rest);
        response.end(html.replace('</head>', '<script type="module" src="/probe.js"></script></head>'));
      });
    });
    // What is cut on one side is cut on the other one as well.
    const cut = (): void => {
      forwarded.destroy();
      response.destroy();
    };
    forwarded.on('error', cut);
    forwarded.on('response', (answer) => answer.on('error', cut).on('aborted', cut));
    response.on('close', () => forwarded.destroy());
    request.pipe(forwarded);
  }
}
