import { randomBytes } from 'node:crypto';

/** A name for an epoch that no other log has, or ever had: 80 random bits in base 36, as cursors spell them. */
export function randomEpoch(): string {
  return BigInt(`0x${randomBytes(10).toString('hex')}`).toString(36);
}
