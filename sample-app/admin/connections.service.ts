import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { type SSEClient, SSEService } from 'nestjs-sse-hub';
import { auditTime, filter, type Subscription } from 'rxjs';

import { LOAD_TOPIC } from '../load/load.service.js';
import { NODE_NAME } from '../node-name.js';

export interface Connection {
  readonly id: string;
  readonly user: unknown;
  readonly group?: string;
  readonly topics: readonly string[];
  readonly connectedAt: string;
  readonly lastEventAt?: string;
  readonly lastHeartbeatAt?: string;
  /** The cursor that it has. */
  readonly position?: string;
  /** How many entries of the log it has not been handed. */
  readonly lag: number;
}

export interface TopicConnections {
  readonly topic: string;
  readonly connections: number;
  readonly oldest: Connection;
}

/** Of one node: clients by id are its own affair. */
export interface ConnectionReport {
  readonly node: string;
  readonly open: number;
  readonly oldest?: Connection;
  readonly topics: readonly TopicConnections[];
  /** Oldest first, without those of a load: nobody reads two thousand lines. */
  readonly connections: readonly Connection[];
}

interface Events {
  [CONNECTIONS_TOPIC]: { 'connections-changed': { open: number } };
}

export const CONNECTIONS_TOPIC = 'admin:connections';

/** At most one event for all that come and go within this time, in milliseconds. */
const QUIET_TIME = 250;

@Injectable()
export class ConnectionsService implements OnModuleInit, OnModuleDestroy {
  #subscription: Subscription | undefined;

  constructor(private readonly sse: SSEService<Events>) {}

  onModuleInit(): void {
    this.#subscription = this.sse.connections
      .pipe(
        filter(({ reason }) => reason !== 'shutdown'),
        auditTime(QUIET_TIME),
      )
      .subscribe(() =>
        this.sse.broadcast(CONNECTIONS_TOPIC, 'connections-changed', { open: this.sse.getClientCount() }),
      );
  }

  onModuleDestroy(): void {
    this.#subscription?.unsubscribe();
  }

  report(): ConnectionReport {
    const connections = this.sse.getClients().map(describe);
    const topics = new Map<string, TopicConnections>();
    for (const connection of connections) {
      for (const topic of connection.topics) {
        const known = topics.get(topic) ?? { topic, connections: 0, oldest: connection };
        topics.set(topic, { ...known, connections: known.connections + 1 });
      }
    }
    return {
      node: NODE_NAME,
      open: connections.length,
      ...(connections[0] && { oldest: connections[0] }),
      topics: [...topics.values()].toSorted((a, b) => a.topic.localeCompare(b.topic)),
      connections: connections.filter(({ topics: followed }) => !followed.includes(LOAD_TOPIC)),
    };
  }

  /** Ends a stream for good: an EventSource does not come back. */
  disconnect(id: string): boolean {
    return this.sse.removeClient(id, { reconnect: false });
  }
}

function describe(client: SSEClient): Connection {
  const { id, group, metadata, topics, connectedAt, lastEventAt, lastHeartbeatAt, lastEventId, behind } = client;
  return {
    id,
    user: metadata['user'],
    ...(group !== undefined && { group }),
    topics: [...topics],
    connectedAt,
    ...(lastEventAt !== undefined && { lastEventAt }),
    ...(lastHeartbeatAt !== undefined && { lastHeartbeatAt }),
    ...(lastEventId !== undefined && { position: lastEventId }),
    lag: behind,
  };
}
