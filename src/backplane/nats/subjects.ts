/** The names of one log in NATS: its streams, and the subjects of what is in them. */
export class Subjects {
  readonly stream: string;
  /** What is appended. One subject for all: what is published together travels together, whatever its topics. */
  readonly log: string;
  /** The stream with the epoch, beside the log, and its subject. */
  readonly epochStream: string;
  readonly epoch: string;

  constructor(readonly prefix: string) {
    this.stream = prefix;
    this.log = `${prefix}.log`;
    this.epochStream = `${prefix}-epoch`;
    this.epoch = `${prefix}.epoch`;
  }

  /** For what nodes ask each other, outside the log. */
  presence(what: string): string {
    return `${this.prefix}.presence.${what}`;
  }
}
