import { hubContract } from './hub-contract.js';
import { logContract } from './log-contract.js';
import type { ContractCheck } from './subject.js';

export { openStream } from './open-stream.js';
export type { ControlEvents, EventOf, ReceivedEvent } from './received-event.js';
export { StreamRefusedError, WaitError } from './stream-errors.js';
export type { ApplicationLike, StreamRequest, StreamTarget } from './stream-request.js';
export type { ContractCheck, ContractSubject } from './subject.js';
export { TestLog } from './test-log.js';
export { TestNode } from './test-node.js';
export type { TestStream } from './test-stream.js';

/**
 * What a backplane has to do, as checks with a name: for any test framework, and for backplanes of one's own. A check
 * that fails rejects with an `AssertionError`. Each wants a log of its own, so `run` is given a function that makes one.
 * The broker has to be there; what happens while it is away is for tests that can stop it.
 *
 * `retains: false` leaves out what concerns nodes that start later, for a log that keeps nothing for them.
 *
 * @example
 * for (const { name, run } of backplaneContract()) {
 *   it(name, () => run(() => {
 *     const prefix = randomUUID();
 *     return { node: () => new RedisBackplane({ prefix }) };
 *   }));
 * }
 */
export function backplaneContract({ retains = true }: { retains?: boolean } = {}): readonly ContractCheck[] {
  return [...logContract, ...hubContract].filter(({ ofRetention }) => retains || !ofRetention);
}
