import { randomUUID } from 'node:crypto';

import { expect } from '@jest/globals';
import type { SSEService } from 'nestjs-sse-hub';

import { type EventStream, open } from './event-stream.js';

/** From one to the other, both included. */
export function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** An event for each of these numbers. */
export function publish(sse: SSEService, topic: string, from: number, to: number): void {
  for (const n of numbers(from, to)) sse.broadcast(topic, 'n', n);
}

export interface Open {
  readonly clientId: string;
  readonly resumed: string;
}

/** What the stream begins with, behind the cursor that it may have to wait with. */
export async function opened(stream: EventStream): Promise<Open> {
  let first = await stream.next();
  if (first.event === 'sse.cursor') first = await stream.next();
  expect(first.event).toBe('sse.open');
  return JSON.parse(first.data) as Open;
}

/** A client that gets event 1 of this topic and leaves: the last event ID that it may come back with. */
export async function leaveAfterFirst(sse: SSEService, url: string, topic: string): Promise<string> {
  const stream = await open(url);
  await opened(stream);
  publish(sse, topic, 1, 1);
  await stream.messagesUpTo(1);
  stream.close();
  return stream.lastEventId;
}

/** All that it gets, to the end: one more event tells when nothing of what was published before can come any more. */
export async function everything(stream: EventStream, sse: SSEService, topic: string): Promise<unknown[]> {
  const end = `the end: ${randomUUID()}`;
  sse.broadcast(topic, 'n', end);
  await stream.until(() => stream.data.includes(end));
  return stream.data.filter((data) => !String(data).startsWith('the end'));
}

/** What it was told as lost. */
export function resets(stream: EventStream): { reason: string; topics: string[] }[] {
  return stream.ofType('sse.reset').map(({ data }) => JSON.parse(data) as { reason: string; topics: string[] });
}
