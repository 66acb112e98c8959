import type { Payload } from '../contenders/contender.js';

/** One of the nodes that share a log. */
export interface BrokerNode {
  readonly port: number;
  /** Settles when the log has the event. */
  publish(topic: string, payload: Payload): Promise<unknown>;
  /** Those of this node. */
  clients(): number;
}
