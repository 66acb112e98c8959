import type { Contender } from '../contenders/contender.js';
import { labelOf } from './broker.js';
import type { BrokerKind, NodeKind } from './messages.js';

/** Nodes that share a log: a row of the tables. */
export interface System {
  readonly key: string;
  readonly label: string;
  readonly role: Contender['role'];
  readonly kind: NodeKind;
  readonly broker?: BrokerKind;
  readonly nodes: number;
  /** Clients can connect to it. */
  readonly hasClients: boolean;
}

const NAMES: Readonly<Record<NodeKind, string>> = {
  hub: 'createClient()',
  'socket.io': 'socket.io',
  orpc: 'oRPC publisher',
};
const KEYS: Readonly<Record<NodeKind, string>> = { hub: 'hub', 'socket.io': 'socketIo', orpc: 'orpc' };

function system(kind: NodeKind, nodes: number, broker?: BrokerKind): System {
  const place = broker ? labelOf(broker) : 'memory';
  return {
    key: [KEYS[kind], broker ?? 'memory', nodes].join('-'),
    label: `${NAMES[kind]}, ${place}, ${nodes} ${nodes === 1 ? 'node' : 'nodes'}`,
    role: kind === 'hub' ? 'ours' : 'peer',
    kind,
    nodes,
    hasClients: kind !== 'orpc',
    ...(broker && { broker }),
  };
}

/** In the order of the tables. */
export const SYSTEMS: readonly System[] = [
  system('hub', 1),
  system('socket.io', 1),
  system('hub', 1, 'redis'),
  system('socket.io', 1, 'redis'),
  system('orpc', 1, 'redis'),
  system('hub', 1, 'nats'),
  system('hub', 2, 'redis'),
  system('socket.io', 2, 'redis'),
  system('hub', 2, 'nats'),
];
