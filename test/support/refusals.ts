import { expect } from '@jest/globals';
import { SSEError, type SSEEvent, type SSEModuleOptions, type SSEService } from 'nestjs-sse-hub';

import { type Platform, startApp } from './platforms.js';
import { type EventStream, open } from './readers/event-stream.js';
import type { TopicEvent } from './readers/readings.js';
import type { Transport } from './stream-controllers.js';

/** An application, and one client of it. */
export interface Connected {
  readonly sse: SSEService;
  readonly url: string;
  /** Follows `topic`, and has had its `sse.open`. */
  readonly client: EventStream;
  readonly clientId: string;
}

/** Starts it; the client has had its `sse.open`. */
export async function connect(
  platform: Platform,
  transport: Transport,
  config: SSEModuleOptions = {},
): Promise<Connected> {
  const { sse, url } = await startApp(platform, { config, controllers: [transport.controller()] });
  const client = await open(`${url}/events/topic`);
  await client.next();
  return { sse, url, client, clientId: sse.getClients()[0]!.id };
}

/** Every way in for an event. */
export function waysIn({ sse, clientId }: Connected, fields: Omit<SSEEvent, 'topic'>): (() => unknown)[] {
  const event: TopicEvent = { ...fields, topic: 'topic' };
  const { event: name = 'name', data, id } = fields;
  const whole = [() => sse.broadcast(event), () => sse.publish(event), () => sse.sendEvent(clientId, event)];
  // The short forms have no place for the other fields.
  if (fields.retry !== undefined) return whole;
  return [
    ...whole,
    () => sse.broadcast('topic', name, data, id),
    () => sse.publish('topic', name, data, id),
    () => sse.broadcastAll(name, data, id),
    () => sse.sendTo(clientId, name, data, id),
  ];
}

/** The code of the error that `act` throws, at once or later. */
export async function refusal(act: () => unknown): Promise<string> {
  try {
    await act();
    return 'not refused';
  } catch (error) {
    return error instanceof SSEError ? error.code : String(error);
  }
}

/** All attempts are refused, nothing of them is kept, and the next byte on the wire is the next event's. */
export async function expectRefused(
  { sse, client }: Connected,
  attempts: (() => unknown)[],
  code: string,
): Promise<void> {
  const { published, history } = sse.stats();
  const before = client.raw.length;
  for (const attempt of attempts) expect(await refusal(attempt)).toBe(code);
  expect(sse.stats()).toMatchObject({ published, history: { events: history.events, bytes: history.bytes } });
  const cursor = await sse.publish('topic', 'after', 'x');
  await client.until(() => client.raw.endsWith('\ndata: x\n\n'));
  expect(client.raw.slice(before)).toBe(`event: after\nid: ${cursor}\ndata: x\n\n`);
}
