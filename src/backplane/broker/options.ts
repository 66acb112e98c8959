import { aWhole } from '../../option-checks.js';

/** The longest that a timer of Node's can wait. */
const MAX_TIME = 2 ** 31 - 1;

/** What is allowed for the options of an outbox, whatever the broker. */
export const OUTBOX_CHECKS = {
  publishTimeout: aWhole(1, MAX_TIME, 'milliseconds'),
  maxPending: aWhole(1, Number.MAX_SAFE_INTEGER, 'entries'),
  maxPendingBytes: aWhole(1, Number.MAX_SAFE_INTEGER, 'bytes'),
  maxEntryBytes: aWhole(1024, 256 * 1024 * 1024, 'bytes'),
};

/** What the options that every broker has are unless they are given. */
export const BROKER_DEFAULTS = {
  prefix: 'sse',
  maxLength: 100_000,
  maxAge: 20 * 60_000,
  publishTimeout: 5_000,
  maxPending: 10_000,
  maxPendingBytes: 64 * 1024 * 1024,
  maxEntryBytes: 8 * 1024 * 1024,
};
