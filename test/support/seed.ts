/** The one of the whole run, which jest.config.ts draws and prints. `SEED=123 npm test` repeats it. */
export const seed = Number(process.env['SEED'] ?? 0);

/** A generator of numbers from 0 up to 1 (mulberry32), the same for the same seed. */
export function seededRandom(salt = 0): () => number {
  let state = (seed + salt) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function integer(random: () => number, min: number, max: number): number {
  return min + Math.floor(random() * (max - min + 1));
}

export function pick<T>(random: () => number, choices: readonly T[]): T {
  return choices[integer(random, 0, choices.length - 1)]!;
}
