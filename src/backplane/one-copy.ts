const MARK = Symbol.for('nestjs-sse-hub');

/**
 * Warns when this process has loaded the library from somewhere else already: as the other module format, in another
 * version, or from another folder. Each copy has classes of its own, and what then goes wrong does not name the reason.
 */
export function warnOfOtherCopy(): void {
  // A line of the stack tells copies apart in either format, and in a bundle that holds both.
  const here = /\((.+)\)$/m.exec(String(new Error().stack))?.[1];
  const marks = globalThis as { [MARK]?: unknown };
  marks[MARK] ??= here;
  // The same place again is a test that resets its modules.
  if (marks[MARK] === here) return;
  process.emitWarning(
    `nestjs-sse-hub is loaded twice, from ${String(marks[MARK])} and from ${String(here)}. Nest cannot inject one's ` +
      "SSEService where the other's is asked for, and instanceof is false between them. See to it that all of the " +
      'application loads one version (npm ls nestjs-sse-hub) in one format.',
    { code: 'SSE_LOADED_TWICE' },
  );
}
