import { warnOfOtherCopy } from './one-copy.js';

/** Why an entry could not be appended to the log, and whether it may be there all the same. */
export class BackplaneError extends Error {
  override readonly name = 'BackplaneError';

  constructor(
    message: string,
    /** `no`: the entry is known not to be in the log. `unknown`: it may be there, or get there still. */
    readonly stored: 'no' | 'unknown',
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// Here, because every entry of the package loads this module.
warnOfOtherCopy();
