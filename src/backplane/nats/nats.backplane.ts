import type { Position } from '../../protocol/cursor.js';
import { BrokerBackplane } from '../broker/broker-backplane.js';
import { BrokerReader } from '../broker/broker-reader.js';
import { shareConnection } from './connection.js';
import { type Head, millisOf, NatsLog } from './log.js';
import { lastPlaceIn } from './message.js';
import { type NatsBackplaneOptions, resolveNatsOptions } from './options.js';
import { OwnAppends } from './own-appends.js';
import { NatsPresence } from './presence.js';
import { NatsReader } from './reader.js';
import { NatsSender } from './sender.js';

export type { NatsBackplaneOptions } from './options.js';

/**
 * A backplane whose log is in NATS JetStream, shared by all nodes with the same servers and `prefix`. It takes NATS 2.9 or
 * later with JetStream, through `@nats-io/transport-node` and `@nats-io/jetstream` 3, and needs one connection per node.
 *
 * While NATS is away, streams stay open, `publish` rejects within `publishTimeout`, and what is broadcast waits, in
 * order, up to `maxPending`. What NATS has lost for good (a stream that was deleted, an older backup, a server without
 * its disk), clients are told with `sse.reset`.
 *
 * @example
 * SSEModule.forRoot({ backplane: new NatsBackplane({ servers: 'nats://localhost:4222', prefix: 'shop' }) });
 */
export class NatsBackplane extends BrokerBackplane {
  readonly kind = 'nats';

  /**
   * Opens nothing yet: the hub does that when it starts.
   *
   * @throws `TypeError` for an option that makes no sense, with its name, its value and what is allowed.
   */
  constructor(options: NatsBackplaneOptions = {}) {
    const resolved = resolveNatsOptions(options);
    super({ broker: 'NATS', memory: Infinity, ...resolved }, (readers) => {
      const log = new NatsLog(resolved, (message) => readers.warn(message));
      const ownAppends = new OwnAppends();
      const presence = new NatsPresence(log.subjects);
      const connection = shareConnection(options, (opened) => presence.attach(opened));
      const whileRead = () => (readers.up ? connection.current : undefined);
      return {
        presence,
        makeSender: () => new NatsSender(log, ownAppends, whileRead),
        makeReader: (hub, listener) =>
          new BrokerReader('NATS', hub, listener, (progress) => new NatsReader(log, connection, ownAppends, progress)),
        end: async () => endOf(await log.head(await connection.open()), readers.first?.position),
        disconnect: () => connection.drop(),
      };
    });
  }
}

/** Positions only grow, even if the clock of the server stepped back before the last entry. */
function endOf({ last, lastNanos }: Head, read: Position | undefined): Position {
  const seq = lastPlaceIn(last);
  if (read && read.seq >= seq) return read;
  return { ms: Math.max(millisOf(lastNanos), read?.ms ?? 0), seq };
}
