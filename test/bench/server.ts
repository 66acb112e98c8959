import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

import type { ContenderServer } from './contenders/contender.js';
import { contenderOf } from './contenders/index.js';
import type { PublishRequest, ServerRequests } from './messages.js';
import { serveParent } from './parent.js';
import { payloadOf } from './payload.js';

let server: ContenderServer | undefined;
let cpuAtBegin = 0;
let delays: IntervalHistogram | undefined;
let allowed = Infinity;
let window = Infinity;
let onGo: (() => void) | undefined;

function cpuTime(): number {
  if (server?.cpu) return server.cpu();
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.();
    await sleep(20);
  }
}

async function publish({ turns, perTurn, topics, size, every, ...request }: PublishRequest): Promise<object> {
  window = request.window;
  allowed = window;
  const began = performance.now();
  for (let turn = 0; turn < turns; turn++) {
    while (turn >= allowed) await new Promise<void>((resolve) => (onGo = resolve));
    for (let i = 0; i < perTurn; i++) for (const topic of topics) server!.publish(topic, payloadOf(size));
    // Twice, so that whatever a contender does at the end of the turn is done before the next one publishes.
    await nextTurn();
    await nextTurn();
    await server!.settled?.();
    // As often as is asked for, whatever time a turn takes itself.
    const rest = began + (turn + 1) * every - performance.now();
    if (rest > 0) await sleep(rest);
  }
  return {};
}

serveParent<ServerRequests>(
  {
    start: async ({ contender, history }) => {
      server = await contenderOf(contender).start({ history });
      return { port: server.port };
    },
    clients: async () => ({ clients: await server!.clients(), connections: await server!.connections() }),
    memory: async () => {
      await collectGarbage();
      if (server!.rss) return { rss: server!.rss(), heap: undefined };
      const { rss, heapUsed } = process.memoryUsage();
      return { rss, heap: heapUsed };
    },
    begin: () => {
      globalThis.gc?.();
      delays = monitorEventLoopDelay({ resolution: 1 });
      delays.enable();
      cpuAtBegin = cpuTime();
      return {};
    },
    publish,
    end: () => {
      const cpu = cpuTime() - cpuAtBegin;
      delays!.disable();
      return { cpu, delay: delays!.percentile(99) / 1e6 };
    },
    close: async () => {
      await server?.close();
      return {};
    },
  },
  {
    onNote: () => {
      allowed += window;
      onGo?.();
    },
    onOrphaned: () => server?.close(),
  },
);
