import { serveParent } from '../parent.js';
import { cpuOf } from '../programs.js';
import type { Broker } from './broker.js';
import type { BrokerKind, BrokerRequests } from './messages.js';
import { startNats } from './nats.js';
import { startRedis } from './redis.js';

const START: Readonly<Record<BrokerKind, (prefix: string) => Promise<Broker>>> = {
  redis: startRedis,
  nats: startNats,
};

let broker: Broker | undefined;

async function close(): Promise<void> {
  await broker?.close();
  broker = undefined;
}

// A process of its own, so that a broker does not outlive a run that was killed.
serveParent<BrokerRequests>(
  {
    start: async ({ kind, prefix }) => {
      broker = await START[kind](prefix);
      return { url: broker.url, version: broker.version };
    },
    cpu: () => {
      const pid = broker?.pid;
      return pid !== undefined && process.platform === 'linux' ? { cpu: cpuOf(pid) } : {};
    },
    close: async () => {
      await close();
      return {};
    },
  },
  { onOrphaned: close },
);
