import { findProgram } from '../programs.js';
import type { BrokerKind } from './messages.js';

/** A broker that nodes can use. */
export interface Broker {
  readonly url: string;
  readonly version: string;
  /** Of its process, where it was started here. */
  readonly pid?: number | undefined;
  /** Deletes what was stored under the prefix, and ends what was started. */
  close(): Promise<void>;
}

interface Known {
  readonly label: string;
  readonly variable: string;
  readonly program: string;
}

const BROKERS: Readonly<Record<BrokerKind, Known>> = {
  redis: { label: 'Redis', variable: 'REDIS_URL', program: 'redis-server' },
  nats: { label: 'NATS', variable: 'NATS_URL', program: 'nats-server' },
};

export function labelOf(kind: BrokerKind): string {
  return BROKERS[kind].label;
}

/** Where the broker is, unless it has to be started. */
export function givenUrl(kind: BrokerKind): string | undefined {
  return process.env[BROKERS[kind].variable] || undefined;
}

/** Why there is none, if so. */
export function absenceOf(kind: BrokerKind): string | undefined {
  const { program, variable } = BROKERS[kind];
  if (givenUrl(kind) !== undefined || findProgram(program)) return undefined;
  return `${program} is not installed, and ${variable} is not set`;
}
