import { serveParent } from '../parent.js';
import { startHub } from './hub-node.js';
import type { NodeKind, NodeOptions, NodeRequests } from './messages.js';
import type { BrokerNode } from './node.js';
import { startOrpc } from './orpc-node.js';
import { Publisher } from './publisher.js';
import { startSocketIo } from './socket-io-node.js';

const START: Readonly<Record<NodeKind, (options: NodeOptions) => Promise<BrokerNode>>> = {
  hub: startHub,
  'socket.io': startSocketIo,
  orpc: startOrpc,
};

let node: BrokerNode | undefined;
let publisher: Publisher | undefined;
let cpuAtBegin = process.cpuUsage();

serveParent<NodeRequests>(
  {
    start: async ({ kind, ...options }) => {
      node = await START[kind](options);
      publisher = new Publisher(node);
      return { port: node.port };
    },
    clients: () => ({ clients: node!.clients() }),
    begin: () => {
      globalThis.gc?.();
      cpuAtBegin = process.cpuUsage();
      return {};
    },
    publish: async (request) => {
      await publisher!.publish(request);
      return {};
    },
    end: () => {
      const { user, system } = process.cpuUsage(cpuAtBegin);
      return { cpu: user + system };
    },
  },
  { onNote: () => publisher?.go() },
);
