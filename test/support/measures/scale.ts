/** `FAULT_SECONDS=60 npm run faults` is the long run: what is measured takes so long, and what is repeated is so often. */
const LONG = 60;

const wanted = process.env['FAULT_SECONDS'];

/** How long something is measured. */
export function seconds(short: number): number {
  return wanted === undefined ? short : Number(wanted);
}

/** How often, or how many: the full number only in the long run. */
export function amount(full: number, short: number): number {
  return Number(wanted ?? 0) >= LONG ? full : short;
}
