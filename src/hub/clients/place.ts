/** Where a client is, and what it was given last. Those who were given the same share one: writing leaves nothing else behind. */
export interface Place {
  /** The index of the first entry that it has not passed. */
  readonly next: number;
  /** The cursor that it was sent last. */
  readonly cursor: string | undefined;
  /** When, on the clock of `performance.now()`. */
  readonly at: number;
  /** When there was an event in it, or before it. */
  readonly eventAt: number | undefined;
}

/**
 * How far a client is. `idle`: it follows nothing, and stays at its cursor. `behind`: there is something that it has not
 * been given yet. `current`: it has passed what all have passed who are not behind. `inStep`: the same, and it gets just
 * what everybody gets, so nothing of it is looked at for that.
 */
export type Progress = 'idle' | 'behind' | 'current' | 'inStep';
