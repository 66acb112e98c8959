import { MAX_ID_BYTES, show, singleLineFault } from '../../protocol/event.js';
import { SSEError } from '../../sse.error.js';
import type { RunOptions } from '../../sse.runs.js';

type Allowed = (value: unknown) => string | undefined;

const anEvent: Allowed = (value) => (typeof value === 'object' && value !== null ? undefined : 'an event');
const aFunction: Allowed = (value) => (typeof value === 'function' ? undefined : 'a function');
const START = new Set<unknown>(['join', 'replace', 'reject']);

const OPTIONS: { readonly [Option in keyof Required<RunOptions>]: Allowed } = {
  event: (value) => (typeof value === 'string' ? undefined : 'the name of an event'),
  last: anEvent,
  failed: anEvent,
  cancelled: anEvent,
  onRunning: (value) => (START.has(value) ? undefined : "'join', 'replace' or 'reject'"),
  merge: aFunction,
};

/** Throws `INVALID_CONFIG` for an option that there is not, or a value that makes no sense. */
export function assertRun(work: unknown, options: RunOptions): void {
  const allowed = aFunction(work);
  if (allowed) throw fault('work', work, `${allowed}: (signal) => source`);
  for (const [name, value] of Object.entries(options)) {
    const check = Object.hasOwn(OPTIONS, name) ? OPTIONS[name as keyof RunOptions] : undefined;
    if (!check) {
      const known = Object.keys(OPTIONS).join(', ');
      throw new SSEError(
        'INVALID_CONFIG',
        `run() has no option \`${name}\` (${show(value)}). The options are: ${known}.`,
      );
    }
    const allowed = value === undefined ? undefined : check(value);
    if (allowed) throw fault(name, value, allowed);
  }
}

/** Throws `INVALID_CONFIG`. */
export function assertLine(option: string, value: unknown): void {
  const wrong = value === undefined ? undefined : singleLineFault(value, MAX_ID_BYTES);
  if (wrong) throw fault(option, value, `a single line of 1 to ${MAX_ID_BYTES} bytes`);
}

function fault(name: string, value: unknown, allowed: string): SSEError {
  return new SSEError('INVALID_CONFIG', `Run option \`${name}\` is ${show(value)}; it has to be ${allowed}.`);
}
