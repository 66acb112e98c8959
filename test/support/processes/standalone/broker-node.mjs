// A node in a process of its own, to be killed, blocked, or given a clock that is wrong. Expects a build of the library
// beside it, in `library/`. Argument, as JSON: { broker: { kind, options }, config, clockAhead }.
import http from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { SSEService } from './library/index.js';

const { broker, config, clockAhead = 0 } = JSON.parse(process.argv[2]);

if (clockAhead !== 0) {
  const { now } = Date;
  Date.now = () => now() + clockAhead;
}

const backplanes = {
  redis: async (options) => {
    const { RedisBackplane } = await import('./library/backplane/redis/redis.backplane.js');
    return new RedisBackplane(options);
  },
  nats: async (options) => {
    const { NatsBackplane } = await import('./library/backplane/nats/nats.backplane.js');
    return new NatsBackplane(options);
  },
};

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

process.on('warning', (warning) => say({ trouble: String(warning) }));

const sse = new SSEService({ ...config, backplane: await backplanes[broker.kind](broker.options) });
await sse.start();

const actions = {
  // Numbers `from` to `from + count - 1`, one after the other.
  async publish({ topic, from, count }) {
    const cursors = [];
    for (let n = Number(from); n < Number(from) + Number(count); n++) {
      cursors.push(await sse.publish(topic, 'n', { topic, n }));
    }
    return cursors;
  },
  block({ ms }) {
    const end = performance.now() + Number(ms);
    while (performance.now() < end);
  },
  // Numbers, one each `every` milliseconds, for as long as it is let; of none, it hangs. What becomes of it is said.
  async run({ topic, every }) {
    const work = async function* (signal) {
      signal.addEventListener('abort', () => say({ aborted: topic }));
      for (let n = 0; ; n++) {
        yield { topic, n };
        await (Number(every) > 0 ? delay(Number(every)) : new Promise(() => {}));
      }
    };
    const run = sse.run(topic, work, { event: 'n' });
    await run.started;
    run.done.then(
      (outcome) => say({ done: topic, outcome }),
      (error) => say({ done: topic, outcome: String(error) }),
    );
    return run.id;
  },
  runOf: ({ topic }) => sse.getRun(topic)?.id,
  stats: () => ({ ...sse.stats(), rss: process.memoryUsage().rss }),
};

const server = http.createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const [, action, topics] = pathname.split('/');
  if (action === 'events') return sse.createClient(response, { topics: topics.split(',') });
  if (action === 'all') return sse.createClient(response, { topics, from: 0 });
  try {
    response.end(JSON.stringify((await actions[action](Object.fromEntries(searchParams))) ?? null));
  } catch (error) {
    response.writeHead(500).end(JSON.stringify({ error: String(error) }));
  }
});

process.once('SIGTERM', async () => {
  await sse.shutdown();
  server.close();
  server.closeAllConnections();
});

server.listen(0, '127.0.0.1', () => say({ url: `http://127.0.0.1:${server.address().port}` }));
