import { headers, type MsgHdrs } from '@nats-io/transport-node';

import { type Batch, MAX_COUNT } from '../broker/batch.js';

/** The header by which NATS tells a message that is sent again. */
const MESSAGE_ID = 'Nats-Msg-Id';

/** IDs as nodes give them to their batches: publisher, number, and how many entries it has. */
const ID_OF_BATCH = /^([\w-]{12}-\d+)\.(\d{1,4})$/;

/** JetStream counts messages. Each has so many sequence numbers of the log, more than a batch can have entries. */
const PLACES = 1_024;

/** What a message says of its batch, also to those who cannot read that. */
export type BatchName = Pick<Batch, 'uid' | 'count'>;

export function headersOf({ uid, count }: BatchName): MsgHdrs {
  const fields = headers();
  fields.set(MESSAGE_ID, `${uid}.${count}`);
  return fields;
}

/** `undefined` for the message of somebody else. */
export function nameIn(fields: MsgHdrs | undefined): BatchName | undefined {
  const [, uid, digits] = ID_OF_BATCH.exec(fields?.get(MESSAGE_ID) ?? '') ?? [];
  const count = Number(digits);
  return uid !== undefined && count >= 1 && count <= MAX_COUNT ? { uid, count } : undefined;
}

/**
 * The sequence number of the last entry in a message; those before it have one less each. So it is known where the log
 * ends from how many messages there were, and what stands just before a message from the message alone.
 */
export function lastPlaceIn(message: number): number {
  return message * PLACES;
}
