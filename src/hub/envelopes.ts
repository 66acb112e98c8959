import type { Publication } from '../log/publication.js';
import type { SSEEvent } from '../protocol/event.js';

/** Bytes of texts. Read back, JSON takes up to thirty times as much memory. */
const LIMIT = 262_144;

/**
 * What filters and observers see of publications, for one turn: all who ask in it share what is read back. It is not kept
 * beside the log, whose limit in bytes could not hold for it: only so much of it, and the one that was asked for last.
 */
export class Envelopes {
  readonly #kept = new Map<Publication, Readonly<SSEEvent>>();
  #bytes = 0;
  #last: { readonly publication: Publication; readonly envelope: Readonly<SSEEvent> } | undefined;

  constructor(
    private readonly deserialize: (text: string) => unknown,
    /** Something is kept now, and has to be let go of at the end of the turn. */
    private readonly onKept: () => void,
  ) {}

  of(publication: Publication): Readonly<SSEEvent> {
    const known = this.#last?.publication === publication ? this.#last.envelope : this.#kept.get(publication);
    if (known) return known;
    if (!this.#last) this.onKept();
    const envelope = publication.envelope(this.deserialize);
    this.#last = { publication, envelope };
    // The first ones, rather than the newest: one reader after the other begins with them.
    if (this.#bytes + publication.bytes <= LIMIT) {
      this.#bytes += publication.bytes;
      this.#kept.set(publication, envelope);
    }
    return envelope;
  }

  clear(): void {
    this.#last = undefined;
    this.#bytes = 0;
    this.#kept.clear();
  }
}
