import { show } from './protocol/event.js';

/** What is allowed, for a value that is not; `undefined` for one that is. */
export type Check = (value: unknown) => string | undefined;

export type Checks<Options> = { readonly [Option in keyof Required<Options>]: Check };

export function aWhole(min: number, max: number, unit: string): Check {
  return (value) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max
      ? undefined
      : `a whole number of ${unit} from ${min} to ${max}`;
}

export function anObjectWith(what: string): Check {
  return (value) => (typeof value === 'object' && value !== null ? undefined : `an object with ${what}`);
}

/** An object literal, and no instance of a class. */
export function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Throws a `TypeError` that names the backplane, the option, its value, and what is allowed. */
export function assertOptions<Options extends object>(
  backplane: string,
  options: Options,
  checks: Checks<Options>,
): void {
  for (const [name, value] of Object.entries(options)) {
    const check = Object.hasOwn(checks, name) ? checks[name as keyof Options] : undefined;
    if (!check) {
      const known = Object.keys(checks).join(', ');
      throw new TypeError(`${backplane} has no option \`${name}\` (${show(value)}). The options are: ${known}.`);
    }
    const allowed = value === undefined ? undefined : check(value);
    if (allowed) throw new TypeError(`${backplane} option \`${name}\` is ${show(value)}; it has to be ${allowed}.`);
  }
}

/** Those of the options that have a default. One that is `undefined` was not given. */
export function withDefaults<Resolved extends object>(options: Partial<Resolved>, defaults: Resolved): Resolved {
  const names = Object.keys(defaults) as (keyof Resolved)[];
  return Object.fromEntries(names.map((name) => [name, options[name] ?? defaults[name]])) as Resolved;
}
