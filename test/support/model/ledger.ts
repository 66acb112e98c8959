import {
  comparePositions,
  NEW_CURSOR,
  ORIGIN,
  parseCursor,
  type Position,
  TERMINAL_CURSOR,
  withInitialDue,
} from '../../../src/protocol/cursor.js';
import type { Block } from '../../../src/protocol/encode.js';
import { type Fact, type Facts, numberIn } from './facts.js';
import { type Followed, type NodeView, type Sieve, Terms, type TermsOptions } from './terms.js';

/**
 * What one connection must get, kept by somebody who knows the whole log: every block that is written is checked against
 * it as it is written. A block's cursor is a claim: whoever comes back with it has got everything before it, or was told.
 */
export class Ledger {
  readonly faults: string[] = [];
  /** `sse.open` has been written. */
  opened = false;
  /** It has begun to follow something: what is added now counts from now on. */
  underWay = false;
  ended = false;
  /** The application has removed it: what is still due need not come. */
  mayEnd = false;
  resets = 0;
  /** It was told that something was lost although it kept up. */
  slowResets = 0;
  /** Events that must come, or be told as lost. */
  #due: Fact[] = [];
  /** Events that may come: the rules changed before they were written. */
  readonly #possible = new Set<Fact>();
  readonly #inHand = new Set<Fact>();
  /** What was followed when these were taken in hand: a reset that names it may be among them. */
  readonly #namesInHand = new Set<string>();
  /** Names that were added too late, with what they pass over that no cursor had claimed by then. */
  readonly #lateNames = new Map<string, readonly Fact[]>();
  #privates: string[] = [];
  /** Whoever is sending this has not been told yet whether it was taken. */
  #sending: string | undefined;
  /** It has been told in `sse.open` that up to here something may be missing, whatever it follows. */
  #toldUpTo: Block = {};
  /** It has been told where it is. */
  #placed = false;
  #written: Position;
  #claimed: Position | undefined;
  readonly #terms: Terms;

  constructor(
    private readonly facts: Facts,
    private readonly node: NodeView,
    options: TermsOptions,
  ) {
    const { came, since, notBefore } = options;
    this.#terms = new Terms(facts, node, options);
    this.#written = came.with === 'cursor' ? came.position : ORIGIN;
    this.#claimed = came.with === 'cursor' ? came.position : undefined;
    const { firstDue, head } = this.#terms;
    this.#due = facts.all.slice(firstDue).filter((fact) => this.#terms.isDue(fact) && this.#terms.isAskedFor(fact));
    if (since === undefined && notBefore === undefined) return;
    // What the node has not read yet it may take for new.
    for (const fact of facts.all.slice(head)) this.#possible.add(fact);
  }

  get names(): ReadonlyMap<string, Followed> {
    return this.#terms.names;
  }

  get outstanding(): readonly string[] {
    const due = this.#due.filter((fact) => this.#terms.isWanted(fact)).map(describeFact);
    return [...due, ...[...this.#lateNames.keys()].map((name) => `reset late ${name}`), ...this.#privates];
  }

  publish(fact: Fact): void {
    if (fact.kind === 'open' && fact.index >= this.#terms.anewAt) this.#startOver(fact.topic!);
    if (this.ended || !this.#terms.isDue(fact)) {
      // Who follows nothing any more may be given it after all when it follows something before the turn is over.
      if (fact.topic === undefined && this.names.size === 0) this.#possible.add(fact);
      return;
    }
    this.#due.push(fact);
  }

  /** `isReading`: from within a filter of some client, which may be this one's, with events in hand that claim more. */
  follow(name: string, sieve: Sieve, isReading = false): void {
    const known = this.names.get(name);
    if (known) return this.#changeSieve(name, { ...known, sieve });
    const late = this.underWay;
    const from = late ? this.node.read() : 0;
    const before = new Set(this.#due);
    this.#terms.setName(name, { from, sieve });
    for (const fact of this.facts.all.slice(Math.max(from, this.#terms.firstDue))) {
      if (before.has(fact) || comparePositions(fact.position, this.#written) <= 0 || !this.#terms.isDue(fact)) continue;
      if (isUpTo(this.#toldUpTo, fact)) this.#possible.add(fact);
      else this.#due.push(fact);
    }
    this.#due.sort((a, b) => a.index - b.index);
    this.underWay ||= this.opened;
    const skipped = late ? this.#terms.skipped(name, from) : [];
    const claimed = this.#claimed ?? ORIGIN;
    const unclaimed = skipped.filter((fact) => !isReading && comparePositions(fact.position, claimed) > 0);
    if (skipped.length > 0) this.#lateNames.set(name, unclaimed);
  }

  /** `isReading`: from within a filter of some client, which may be this one's, with events in hand. */
  unfollow(name: string, isReading: boolean): void {
    if (isReading) {
      for (const fact of this.#due) this.#inHand.add(fact);
      this.#namesInHand.add(name);
    }
    this.#terms.names.delete(name);
    this.#lateNames.delete(name);
    // What was for everybody still comes if it follows something else before the turn is over.
    for (const fact of this.#due) if (fact.topic === undefined) this.#possible.add(fact);
    this.#due = this.#due.filter((fact) => this.#terms.isDue(fact));
  }

  sendPrivate(text: string): void {
    this.#privates.push(text);
    this.#sending = text;
  }

  /** The call has returned. */
  sentPrivate(): void {
    this.#sending = undefined;
  }

  sendFirst(text: string): void {
    this.#privates.unshift(text);
  }

  /** It was refused, so it will not come. */
  takeBackPrivate(text: string): void {
    this.#privates = this.#privates.filter((other) => other !== text);
    this.#sending = undefined;
  }

  write(block: Block): void {
    if (this.ended) return this.#blame('written after the end', block);
    const { event, data, id, comment } = block;
    const moves = event === 'sse.cursor' || event === 'sse.expired';
    // A node that waits until it has read as far gives back what the client came with.
    if (!this.opened && moves && (id === NEW_CURSOR || id === this.#terms.options.lastEventId)) return;
    if (event === 'sse.open') this.#open(block);
    else if (event === 'sse.reset') this.#reset(block);
    else if (event === 'sse.closed') this.#closed(block);
    else if (event === 'sse.end') this.#end(block);
    else if (moves) this.#claim(id, block);
    else if (data === undefined) {
      if (comment === undefined || id !== undefined) this.#blame('rests on a block without data', block);
    } else if (data.startsWith('private')) this.#private(block);
    else this.#event(block);
  }

  #open(block: Block): void {
    if (this.opened) this.#blame('opened twice', block);
    this.opened = true;
    this.underWay = this.names.size > 0;
    const { resumed } = JSON.parse(block.data!) as { resumed: string };
    const { came } = this.#terms.options;
    if (!this.#mayResume(resumed)) this.#blame('resumed otherwise', block);
    if (resumed === 'full' && came.with === 'garbage') this.#blame('cannot resume', block);
    // Whose last event ID is no cursor learns from this very block that something is missing.
    if (resumed === 'reset' && came.with !== 'cursor') {
      this.#toldUpTo = block;
      return this.#leaveOpen((fact) => isUpTo(block, fact));
    }
    // And whoever is new begins here: what was evicted before need not be told.
    if (came.with === 'nothing')
      this.#due = this.#due.filter((fact) => this.#terms.isLeft(fact) || !isUpTo(block, fact));
    this.#claim(block.id, block);
  }

  #mayResume(resumed: string): boolean {
    const { came } = this.#terms.options;
    // What it was to get before everything else is missing, if nothing more is.
    if ('initialDue' in came && came.initialDue) return resumed !== 'full';
    return (resumed === 'none') === (came.with === 'nothing');
  }

  #reset(block: Block): void {
    this.resets++;
    const { reason, topics } = JSON.parse(block.data!) as { reason: string; topics: string[] };
    for (const name of topics) {
      // What was to be told may still be told when the name has been given up meanwhile.
      const isKnown = reason === 'late' ? this.#terms.hasEverFollowed(name) : this.names.has(name);
      if (!isKnown && !this.#namesInHand.has(name)) this.#blame('told of what it does not follow', block);
      this.#lateNames.delete(name);
    }
    if (reason === 'late' && this.#terms.options.came.with === 'nothing') this.#blame('nothing to be late for', block);
    if (reason === 'slow') this.slowResets++;
    if (reason !== 'late') this.#excuse(block, reason, topics);
    this.#placed ||= reason !== 'late';
    this.#claim(block.id, block);
  }

  /** What a reset speaks for is gone: it need not come any more, and must not be there any more. */
  #excuse(block: Block, reason: string, topics: readonly string[]): void {
    const isExcused = (fact: Fact): boolean => {
      // Whatever is gone by now is told at once.
      if (!isUpTo(block, fact) && !this.#terms.isGone(fact)) return false;
      if (fact.topic === undefined) return topics.length > 0;
      return this.#terms.namesOf(fact).some((name) => topics.includes(name));
    };
    const retained = this.#due.find((fact) => isExcused(fact) && this.#terms.isWanted(fact) && this.node.retains(fact));
    const mayPass = reason === 'ambiguous' || reason === 'filter' || this.#terms.options.onGap === 'latest';
    if (retained && !mayPass) this.#blame(`told as lost although it is there: ${describeFact(retained)}`, block);
    // From the oldest event with the id on, some may come again.
    if (reason === 'ambiguous' || reason === 'foreign') for (const fact of this.facts.all) this.#possible.add(fact);
    // What a filter has had evicted since may be in the same write.
    this.#leaveOpen(isExcused);
  }

  #closed(block: Block): void {
    const { topic } = JSON.parse(block.data!) as { topic: string };
    const everClosed = this.facts.all.some((fact) => fact.kind === 'close' && fact.topic === topic);
    if (!everClosed || !this.#terms.hasEverCovered(topic)) this.#blame('not closed', block);
    this.#claim(block.id, block);
  }

  #end(block: Block): void {
    if (block.id !== TERMINAL_CURSOR) this.#blame('not the terminal cursor', block);
    if (this.mayEnd) return;
    // With the first close that leaves it without an open topic the stream is over, whatever comes behind it.
    const claimed = this.#claimed ?? ORIGIN;
    const end = this.facts.all.find(
      ({ kind, topic = '', index, position }) =>
        kind === 'close' &&
        this.names.has(topic) &&
        comparePositions(position, claimed) > 0 &&
        [...this.names.keys()].every((name) => this.facts.wasClosed(name, index + 1)),
    );
    const closed = end?.index ?? -1;
    const owed = this.#due.filter((fact) => fact.index < closed && this.#terms.isWanted(fact)).map(describeFact);
    owed.push(...this.#lateNames.keys(), ...this.#privates.filter((text) => text !== this.#sending));
    if (owed.length > 0) this.#blame(`ends, and owes ${owed.slice(0, 5).join(', ')}`, block);
  }

  #private(block: Block): void {
    if (this.#privates[0] !== block.data) this.#blame(`sent in another order, or never: ${this.#privates[0]}`, block);
    this.#privates.shift();
    if (block.id?.startsWith('1~')) this.#claim(block.id, block);
  }

  #event(block: Block): void {
    const fact = this.facts.withNumber(numberIn(block.data!));
    if (fact?.kind !== 'event') return this.#blame('never published', block);
    const at = this.#due.indexOf(fact);
    if (this.#inHand.delete(fact) && at < 0) return this.#take(fact, block);
    if (at < 0 && !this.#possible.has(fact)) return this.#blame('not due', block);
    if (at < 0 && !this.#terms.mayCome(fact)) return this.#blame('not for this client now', block);
    if (!this.#terms.isWanted(fact)) this.#blame('should have been held back', block);
    if (comparePositions(fact.position, this.#written) <= 0) this.#blame('out of order', block);
    if (fact.position.ms > this.#terms.options.expiresAt) this.#blame('published after it had expired', block);
    this.#take(fact, block);
  }

  #take(fact: Fact, block: Block): void {
    this.#written = fact.position;
    this.#due = this.#due.filter((other) => other !== fact);
    this.#possible.delete(fact);
    this.#claimUpTo(fact.position, block);
  }

  #claim(id: string | undefined, block: Block): void {
    if (id === undefined) return;
    const { came, lastEventId } = this.#terms.options;
    const isBroughtBack = withInitialDue(id, false) === withInitialDue(lastEventId, false);
    if (came.with === 'garbage' && !this.#placed && isBroughtBack) return;
    const position = positionOf(id);
    if (!position) return this.#blame('not a cursor', block);
    this.#claimUpTo(position, block);
  }

  #claimUpTo(position: Position, block: Block): void {
    if (comparePositions(position, this.#written) < 0) this.#blame('a cursor behind what was written', block);
    if (this.#claimed && comparePositions(position, this.#claimed) < 0) this.#blame('a cursor that goes back', block);
    this.#claimed = position;
    const passed = this.#due.filter((fact) => comparePositions(fact.position, position) <= 0);
    const untold = passed.filter((fact) => this.#terms.isWanted(fact));
    const late = [...this.#lateNames.values()].flat();
    untold.push(...late.filter((fact) => comparePositions(fact.position, position) <= 0));
    if (untold.length > 0) this.#blame(`passes over ${untold.map(describeFact).join(', ')}`, block);
    this.#due = this.#due.filter(
      (fact) => !passed.includes(fact) || (this.#terms.isWanted(fact) && !untold.includes(fact)),
    );
  }

  /** A topic was started over: what it was before is not for somebody who asks for what is new since some time. */
  #startOver(topic: string): void {
    this.#leaveOpen((fact) => fact.topic === topic && fact.index < this.#terms.anewAt);
  }

  #changeSieve(name: string, followed: Followed): void {
    this.#leaveOpen((fact) => this.#terms.namesOf(fact).includes(name));
    this.#terms.setName(name, followed);
  }

  /** Whether these come depends on whether they have been on their way already. */
  #leaveOpen(isConcerned: (fact: Fact) => boolean): void {
    for (const fact of this.#due) if (isConcerned(fact)) this.#possible.add(fact);
    this.#due = this.#due.filter((fact) => !isConcerned(fact));
  }

  #blame(what: string, { event, data, id }: Block): void {
    const due = this.#due.slice(0, 5).map(describeFact).join(', ');
    this.faults.push(
      `${this.#terms.options.clientId}: ${what}: ${event ?? ''} ${data?.slice(0, 60) ?? ''} ${id} (due: ${due})`,
    );
  }
}

/** Whether the block's cursor claims it. */
function isUpTo({ id }: Block, fact: Fact): boolean {
  const position = positionOf(id);
  return position !== undefined && comparePositions(fact.position, position) <= 0;
}

function positionOf(id: string | undefined): Position | undefined {
  return id === undefined ? undefined : parseCursor(id)?.position;
}

function describeFact({ kind, n, topic = 'everybody', index }: Fact): string {
  return `${kind === 'event' ? n : kind} of ${topic} at ${index}`;
}
