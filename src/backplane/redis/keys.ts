import type { Position } from '../../protocol/cursor.js';

/** The names of all keys of one log. In a cluster they have to be on one node, so they share one hash tag. */
export class Keys {
  /** The stream. */
  readonly log: string;
  /** Beside it: its epoch, where that began, the ID of its last entry, and how many entries there ever were. */
  readonly head: string;
  /** Places in it, and how many entries there had been before each: for trimming by their number. */
  readonly marks: string;
  /** The nodes that have said what their clients follow. */
  readonly nodes: string;

  /** A stream of what nodes ask each other. */
  readonly questions: string;

  constructor(private readonly prefix: string) {
    this.questions = `{${prefix}}:questions`;
    this.log = `{${prefix}}:log`;
    this.head = `{${prefix}}:head`;
    this.marks = `{${prefix}}:marks`;
    this.nodes = `{${prefix}}:nodes`;
  }

  /** Of a node's clients: numbers by topic. */
  topicsOf(node: string): string {
    return `{${this.prefix}}:node:${node}:topics`;
  }

  /** The same by patterns. */
  patternsOf(node: string): string {
    return `{${this.prefix}}:node:${node}:patterns`;
  }

  /** A stream of what nodes answer to one question. */
  answers(question: string): string {
    return `{${this.prefix}}:answers:${question}`;
  }

  /** What the log remembers of one publisher: its last batch. */
  publisher(name: string): string {
    return `{${this.prefix}}:publisher:${name}`;
  }
}

const ID = /^(\d{1,16})-(\d{1,16})$/;

/** A position is the ID of a stream entry. `undefined` for IDs beyond what a number can say exactly: none of ours. */
export function parseId(id: string): Position | undefined {
  const match = ID.exec(id);
  if (!match) return undefined;
  const position = { ms: Number(match[1]), seq: Number(match[2]) };
  return Number.isSafeInteger(position.ms) && Number.isSafeInteger(position.seq) ? position : undefined;
}

export function formatId({ ms, seq }: Position): string {
  return `${ms}-${seq}`;
}
