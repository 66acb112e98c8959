import http from 'node:http';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import { constants, gunzipSync } from 'node:zlib';

import { encodeBlock } from '../../src/protocol/encode.js';
import type { FakeTransport } from '../support/fake-transport.js';

/** The other side of a transport: what reads there, and how it sees the stream end. */
export interface OtherSide {
  readonly status: number | undefined;
  header(name: string): string | undefined;
  /** What has come, decoded. */
  readonly text: string;
  /** How the stream has ended here, once it has. */
  readonly ending: 'end' | 'cut' | undefined;
  /** What the stream came on has been closed; never, where that is nothing. */
  readonly connectionClosed: boolean;
  /** Takes nothing any more. */
  pause(): void;
  resume(): void;
  leave(): void;
}

/** What has come of a body. */
class Body {
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #decoded = { size: 0, text: '' };
  #isCompressed = false;
  ending: 'end' | 'cut' | undefined;

  add(chunk: Uint8Array): void {
    this.#chunks.push(Buffer.from(chunk));
    this.#size += chunk.length;
  }

  compressed(contentEncoding: string | undefined): void {
    this.#isCompressed = contentEncoding === 'gzip';
  }

  end(ending: 'end' | 'cut'): void {
    this.ending ??= ending;
    // Only now is it known whether it is complete.
    this.#decoded = { size: -1, text: '' };
  }

  get text(): string {
    if (this.#decoded.size !== this.#size) this.#decoded = { size: this.#size, text: this.#decode() };
    return this.#decoded.text;
  }

  #decode(): string {
    const bytes = Buffer.concat(this.#chunks);
    if (!this.#isCompressed || bytes.length === 0) return bytes.toString();
    // At an orderly end it is complete, with its checksum: otherwise this throws.
    const finishFlush = this.ending === 'end' ? constants.Z_FINISH : constants.Z_SYNC_FLUSH;
    return gunzipSync(bytes, { finishFlush }).toString();
  }
}

/** A client of HTTP/1.1. Whoever is given its agent comes on the same connection, once that is free. */
export class Http1Client implements OtherSide {
  readonly agent: http.Agent;
  readonly #body = new Body();
  readonly #request: http.ClientRequest;
  #response: http.IncomingMessage | undefined;
  #paused = false;
  socket: Socket | undefined;

  constructor(url: string, { method = 'GET', headers, agent }: http.RequestOptions & { agent?: http.Agent } = {}) {
    this.agent = agent ?? new http.Agent({ keepAlive: true, maxSockets: 1 });
    this.#request = http.request(url, { method, headers, agent: this.agent });
    this.#request.on('socket', (socket) => (this.socket = socket));
    this.#request.on('error', () => this.#body.end('cut'));
    this.#request.on('response', (response) => this.#take(response));
    this.#request.end();
  }

  #take(response: http.IncomingMessage): void {
    this.#response = response;
    this.#body.compressed(response.headers['content-encoding']);
    response.on('data', (chunk: Buffer) => this.#body.add(chunk));
    response.on('end', () => this.#body.end(response.complete ? 'end' : 'cut'));
    response.on('error', () => this.#body.end('cut'));
    response.on('close', () => this.#body.end('cut'));
    if (this.#paused) response.pause();
  }

  get status(): number | undefined {
    return this.#response?.statusCode;
  }

  header(name: string): string | undefined {
    return this.#response?.headers[name] as string | undefined;
  }

  get text(): string {
    return this.#body.text;
  }

  get ending(): 'end' | 'cut' | undefined {
    return this.#body.ending;
  }

  get connectionClosed(): boolean {
    return this.socket?.destroyed ?? false;
  }

  pause(): void {
    this.#paused = true;
    this.#response?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#response?.resume();
  }

  leave(): void {
    this.socket?.resetAndDestroy();
    this.#request.destroy();
  }
}

interface Http2Options {
  readonly method?: string | undefined;
  readonly headers?: http2.OutgoingHttpHeaders | undefined;
  readonly session?: http2.ClientHttp2Session | undefined;
}

/** A client of HTTP/2. Whoever is given its session comes on the same connection. */
export class Http2Client implements OtherSide {
  readonly session: http2.ClientHttp2Session;
  readonly #stream: http2.ClientHttp2Stream;
  readonly #body = new Body();
  #headers: http2.IncomingHttpHeaders | undefined;

  constructor(url: string, { method = 'GET', headers, session }: Http2Options = {}) {
    const { origin, pathname } = new URL(url);
    this.session = session ?? http2.connect(origin).on('error', () => {});
    this.#stream = this.session.request({ ...headers, ':path': pathname, ':method': method });
    this.#stream.on('response', (answered) => {
      this.#headers = answered;
      this.#body.compressed(answered['content-encoding']);
    });
    this.#stream.on('data', (chunk: Buffer) => this.#body.add(chunk));
    // Reported with the last bytes still to be read, when it was an orderly one.
    this.#stream.on('end', () => this.#stream.rstCode === 0 && this.#body.end('end'));
    this.#stream.on('error', () => this.#body.end('cut'));
    this.#stream.on('close', () => this.#body.end('cut'));
  }

  get status(): number | undefined {
    return this.#headers?.[':status'] as number | undefined;
  }

  header(name: string): string | undefined {
    return this.#headers?.[name] as string | undefined;
  }

  get text(): string {
    return this.#body.text;
  }

  get ending(): 'end' | 'cut' | undefined {
    return this.#body.ending;
  }

  get connectionClosed(): boolean {
    return this.session.closed || this.session.destroyed;
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  leave(): void {
    this.#stream.close(http2.constants.NGHTTP2_CANCEL);
  }
}

/** Whoever reads a web-standard response. It keeps the buffers that it is given, as a worker would. */
export class BodyReader implements OtherSide {
  readonly connectionClosed = false;
  readonly #body = new Body();
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #paused = false;
  #resumed: (() => void) | undefined;

  constructor(
    private readonly response: Response,
    /** How it leaves; otherwise it cancels the body. */
    private readonly abort?: AbortController,
  ) {
    this.#reader = response.body?.getReader();
    void this.#read();
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        if (this.#paused) await new Promise<void>((resolve) => (this.#resumed = resolve));
        const { done, value } = (await this.#reader?.read()) ?? { done: true };
        if (done || !value) return this.#body.end('end');
        this.#body.add(value);
        structuredClone(value, { transfer: [value.buffer as ArrayBuffer] });
      }
    } catch {
      this.#body.end('cut');
    }
  }

  get status(): number {
    return this.response.status;
  }

  header(name: string): string | undefined {
    return this.response.headers.get(name) ?? undefined;
  }

  get text(): string {
    return this.#body.text;
  }

  get ending(): 'end' | 'cut' | undefined {
    return this.#body.ending;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#resumed?.();
  }

  leave(): void {
    this.abort?.abort();
    void this.#reader?.cancel().catch(() => {});
  }
}

/** Whoever reads from a transport in memory. */
export class FakeReader implements OtherSide {
  readonly status = 200;
  text = '';
  #paused = false;
  readonly #reading: NodeJS.Timeout;

  constructor(private readonly transport: FakeTransport) {
    this.#reading = setInterval(() => this.#read(), 1);
  }

  #read(): void {
    if (this.#paused) return;
    if (this.transport.arriving > 0) this.text += this.transport.take(1).map(encodeBlock).join('');
  }

  header(name: string): string | undefined {
    return name === 'content-type' ? 'text/event-stream' : undefined;
  }

  get ending(): 'end' | 'cut' | undefined {
    return this.transport.arriving === 0 ? this.transport.ending : undefined;
  }

  get connectionClosed(): boolean {
    return this.transport.closed;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }

  leave(): void {
    this.transport.cut();
  }

  stop(): void {
    clearInterval(this.#reading);
  }
}
