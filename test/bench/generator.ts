import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';

import { GzipSample } from './gzip-sample.js';
import type { ConnectRequest, DeliveredAnswer, GeneratorRequests } from './messages.js';
import { serveParent, tellParent } from './parent.js';
import { MARKER, TIME_DIGITS } from './payload.js';
import { percentile } from './statistics.js';
import { CONNECT, upgradeRequestOf } from './web-socket.js';

const MARKER_BYTE = MARKER.charCodeAt(0);
const READ_SIZE = 65_536;
const SAMPLES = 3;
/** Bytes that a stream of HTTP/2, and their connection, may be sent before they have been read: as a browser has it. */
const WINDOW = 6 * 1024 * 1024;
const COMMON_WINDOW = 15 * 1024 * 1024;

/** All sockets read into the same memory: what arrives is counted before the next read. */
const memory = Buffer.alloc(READ_SIZE + 1);
const readBuffer = memory.subarray(0, READ_SIZE);

interface Client {
  /** Closes its connection. */
  readonly leave: () => void;
  bytes: number;
  /** Bytes when the count began. */
  mark: number;
  readonly sample: GzipSample | undefined;
}

let clients: Client[] = [];
/** What all streams of HTTP/2 are on. */
let session: ClientHttp2Session | undefined;
let gzip = false;
let firstBytes = '';
let events = 0;
let target = Infinity;
let ackEvery = Infinity;
let nextAck = Infinity;
let latencies: number[] | undefined;
let cpuAtStart = process.cpuUsage();
let isDelivered = false;
let onDelivered: (() => void) | undefined;

function requestOf(path: string, { gzip, lastEventId }: Pick<ConnectRequest, 'gzip' | 'lastEventId'>): string {
  const lines = ['Host: localhost', 'Accept: text/event-stream'];
  if (gzip) lines.push('Accept-Encoding: gzip');
  if (lastEventId !== undefined) lines.push(`Last-Event-ID: ${lastEventId}`);
  return `GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** Counts the markers among the first bytes of the shared memory. */
function count(length: number): void {
  // A sentinel ends the search, so it never runs on into what an earlier read has left behind.
  memory[length] = MARKER_BYTE;
  const now = latencies && Number(process.hrtime.bigint() / 1_000n);
  for (let at = memory.indexOf(MARKER_BYTE); at < length; at = memory.indexOf(MARKER_BYTE, at + 1)) {
    events++;
    if (now === undefined || at + 1 + TIME_DIGITS > length) continue;
    latencies!.push((now - Number(memory.toString('latin1', at + 1, at + 1 + TIME_DIGITS))) / 1_000);
  }
  counted();
}

function counted(): void {
  while (events >= nextAck) {
    nextAck += ackEvery;
    tellParent('progress');
  }
  if (events < target) return;
  isDelivered = true;
  onDelivered?.();
}

/** What the samples have got stands for everybody: all get the same bytes, and not the whole of it can be inflated. */
function countSamples(): void {
  const perSample = clients.flatMap(({ sample }) => (sample ? [sample.events] : []));
  events = Math.min(...perSample) * clients.length;
  if (events < target) return counted();
  const samples = clients.filter(({ sample }) => sample);
  const expected = Math.min(...samples.map(({ bytes, mark }) => bytes - mark));
  const timer = setInterval(() => {
    if (!clients.every(({ bytes, mark }) => bytes - mark >= expected)) return;
    clearInterval(timer);
    counted();
  }, 2);
}

function openClient(path: string, request: ConnectRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    let answered = false;
    const isSample = request.gzip && clients.length < SAMPLES;
    const sample = isSample ? new GzipSample(countSamples) : undefined;
    const socket = connect({
      port: request.port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (length) => {
          client.bytes += length;
          if (!answered) {
            answered = true;
            firstBytes ||= memory.toString('latin1', 0, length);
            if (request.socketIo) socket.write(CONNECT);
            resolve();
          }
          if (!gzip) count(length);
          else if (sample) sample.read(memory.subarray(0, length));
          return true;
        },
      },
    });
    const leave = (): void => void socket.removeAllListeners('close').resetAndDestroy();
    const client: Client = { leave, bytes: 0, mark: 0, sample };
    clients.push(client);
    socket.on('error', reject);
    socket.once('close', () => reject(new Error(`The server has closed the stream ${path}.`)));
    socket.write(request.socketIo ? upgradeRequestOf(path) : requestOf(path, request));
  });
}

function openHttp2Client(path: string, { port }: ConnectRequest): Promise<void> {
  session ??= connectHttp2(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: WINDOW } }).once(
    'connect',
    (connected) => connected.setLocalWindowSize(COMMON_WINDOW),
  );
  const common = session;
  return new Promise((resolve, reject) => {
    const stream = common.request({ ':path': path, accept: 'text/event-stream' });
    const client: Client = { leave: () => common.destroy(), bytes: 0, mark: 0, sample: undefined };
    clients.push(client);
    stream.on('error', reject);
    stream.once('close', () => reject(new Error(`The server has closed the stream ${path}.`)));
    stream.once('data', () => resolve());
    stream.on('data', (part: Buffer) => {
      client.bytes += part.length;
      part.copy(memory);
      count(part.length);
    });
  });
}

async function connectAll(request: ConnectRequest): Promise<object> {
  gzip = request.gzip;
  firstBytes = '';
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < request.clients) {
      const path = request.paths[started++ % request.paths.length]!;
      await (request.http2 ? openHttp2Client : openClient)(path, request);
    }
  };
  await Promise.all(Array.from({ length: Math.min(request.concurrency, request.clients) }, worker));
  return {};
}

async function churn({ port, connections, concurrency }: GeneratorRequests['churn']['ask']): Promise<object> {
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < connections) {
      started++;
      await visit(port);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return {};
}

function visit(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.on('error', reject);
    socket.once('close', () => resolve());
    socket.once('data', () => socket.destroy());
    socket.write(requestOf('/events/churn', { gzip: false }));
  });
}

function probe({ port, path }: GeneratorRequests['probe']['ask']): Promise<{ id: string }> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ port, host: '127.0.0.1' }).setEncoding('latin1');
    socket.on('error', reject);
    socket.on('data', (part) => {
      text += String(part);
      const block = text.split('\n\n').find((block) => block.includes(MARKER));
      const id = /^id: ?(\S+)/m.exec(block ?? '')?.[1];
      if (id === undefined) return;
      socket.destroy();
      resolve({ id });
    });
    socket.write(requestOf(path, { gzip: false }));
  });
}

function cpuSinceStart(): number {
  const { user, system } = process.cpuUsage(cpuAtStart);
  return user + system;
}

async function delivered(): Promise<DeliveredAnswer> {
  if (!isDelivered) await new Promise<void>((resolve) => (onDelivered = resolve));
  onDelivered = undefined;
  const sorted = latencies?.sort((a, b) => a - b) ?? [];
  return { cpu: cpuSinceStart(), p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
}

serveParent<GeneratorRequests>({
  connect: connectAll,
  encoding: () => ({ encoding: /^content-encoding: (\S+)/im.exec(firstBytes)?.[1] ?? 'identity' }),
  expect: (request) => {
    events = 0;
    for (const client of clients) {
      client.mark = client.bytes;
      if (client.sample) client.sample.events = 0;
    }
    target = request.events;
    isDelivered = false;
    ackEvery = request.ackEvery;
    nextAck = ackEvery;
    latencies = request.latency ? [] : undefined;
    cpuAtStart = process.cpuUsage();
    return {};
  },
  delivered,
  churn,
  probe,
  drop: () => {
    for (const { leave } of clients) leave();
    clients = [];
    session = undefined;
    return {};
  },
});
