import { warnOfOtherCopy } from './one-copy.js';

/** Why an entry could not be appended to the log. */
export class BackplaneError extends Error {
  override readonly name = 'BackplaneError';

  constructor(
    message: string,
    /** Whether the entry is known not to be in the log. */
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
