import type { AddressInfo } from 'node:net';

import type { INestApplication } from '@nestjs/common';

import { createApp } from '../../sample-app/create-app.js';
import type { Platform } from './platforms.js';
import { RecordedEventSource } from './readers/event-source.js';

export interface RunningSample {
  readonly app: INestApplication;
  readonly url: string;
  readonly request: (method: string, path: string, body?: unknown) => Promise<Response>;
  readonly get: <T>(path: string) => Promise<T>;
  /** The status of the answer; its body is not read. */
  readonly status: (method: string, path: string, body?: unknown) => Promise<number>;
  /** A bare EventSource, that has got the first of these events. */
  readonly follow: (path: string, first: string, ...events: string[]) => Promise<RecordedEventSource>;
}

const apps = new Set<INestApplication>();
const sources = new Set<RecordedEventSource>();

/** The sample application on a free port, until `closeSamples()`. */
export async function startSample(platform: Platform): Promise<RunningSample> {
  const app = await createApp(platform.adapter());
  apps.add(app);
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const request = (method: string, path: string, body?: unknown): Promise<Response> =>
    fetch(url + path, {
      method,
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
  return {
    app,
    url,
    request,
    get: async <T>(path: string) => (await (await request('GET', path)).json()) as T,
    status: async (method, path, body) => {
      const response = await request(method, path, body);
      await response.body?.cancel();
      return response.status;
    },
    follow: async (path, first, ...events) => {
      const source = new RecordedEventSource(url + path, [first, ...events]);
      sources.add(source);
      await source.untilCount(first, 1);
      return source;
    },
  };
}

/** All readers leave, then all applications close. */
export async function closeSamples(): Promise<void> {
  for (const source of sources) source.close();
  await Promise.all([...apps].map((app) => app.close()));
  sources.clear();
  apps.clear();
}

/** The data of all events with this name that have come. */
export function dataOf<Data = Record<string, unknown>>(source: RecordedEventSource, event: string): Data[] {
  return source.events.filter((one) => one.event === event).map(({ data }) => JSON.parse(data) as Data);
}
