import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import type { SSEService } from 'nestjs-sse-hub';

import { type Bench, until } from '../baseline.js';
import type { Checker } from '../checker.js';
import { KiB } from '../measures/memory.js';

/** A client that asks for a stream and never reads a byte of it. */
export async function neverReading(bench: Bench, url: string): Promise<Socket> {
  const { hostname, port, pathname } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  bench.onEnd(() => socket.destroy());
  await once(socket, 'connect');
  socket.pause();
  socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\nAccept: text/event-stream\r\n\r\n`);
  return socket;
}

/** Publishes more than all buffers on the way to a client that does not read can take, and waits until they are full. */
export async function fillUp(sse: SSEService, topic: string, eventSize = 64 * KiB): Promise<void> {
  const data = 'x'.repeat(eventSize);
  for (let published = 0; published < 8_192 * KiB; published += eventSize) {
    sse.broadcast(topic, 'bulk', data);
    if (published % (1_024 * KiB) === 0) await delay(5);
  }
  await untilNothingIsTaken(sse);
}

export const MUCH = 2_048;

/** Publishes 8 MiB in numbered events, more than there is room for on the way to a client that is slow, and waits until all is stuck. */
export async function publishMuch(sse: SSEService, checker: Checker): Promise<void> {
  for (let n = 0; n < MUCH; n++) {
    const data = { topic: 't', n };
    const cursor = await sse.publish({ topic: 't', event: 'n', data, comment: 'x'.repeat(4 * KiB) });
    checker.recordPublished(cursor, 't', n);
    if (n % 64 === 0) await delay(1);
  }
  await untilNothingIsTaken(sse);
}

/** So many looks, 100 ms apart: on a busy machine there are pauses between two steps. */
const QUIET_LOOKS = 5;

/** Waits until whoever still gets something has got all it can. */
export async function untilNothingIsTaken(sse: SSEService): Promise<void> {
  let before = -1;
  let quiet = 0;
  const isFull = async (): Promise<boolean> => {
    const { delivered } = sse.stats();
    quiet = delivered === before ? quiet + 1 : 0;
    before = delivered;
    if (quiet < QUIET_LOOKS) await delay(100);
    return quiet >= QUIET_LOOKS;
  };
  await until('nothing is taken any more', isFull);
}
