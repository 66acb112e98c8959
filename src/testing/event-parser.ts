/** What a parser tells of the stream that it reads. */
export interface ParserListener {
  event(event: string, data: string, lastEventId: string): void;
  /** A block has ended, with data or without: where a reconnect would go on. */
  block(lastEventId: string): void;
  retry(ms: number): void;
  comment(text: string): void;
}

/**
 * Reads an event stream, in whatever pieces its bytes come. [HTML 9.2.6, "Interpreting an event stream"]
 * The library has no dependencies, and Node none that reads streams.
 */
export class EventParser {
  /** Takes the BOM away, and puts characters together that come in parts. */
  readonly #decoder = new TextDecoder();
  #line = '';
  /** A line feed that comes now belongs to the line end before it. */
  #isAfterReturn = false;
  #hasFields = false;
  #event = '';
  #data = '';

  constructor(
    private readonly listener: ParserListener,
    private lastEventId = '',
  ) {}

  feed(bytes: Uint8Array): void {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === '') return;
    if (this.#isAfterReturn && text.startsWith('\n')) text = text.slice(1);
    this.#isAfterReturn = text.endsWith('\r');
    const [first = '', ...others] = text.split(/\r\n|\r|\n/);
    this.#line += first;
    for (const next of others) {
      this.#read(this.#line);
      this.#line = next;
    }
  }

  #read(line: string): void {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (colon === 0) return this.listener.comment(value);
    this.#hasFields = true;
    const field = colon < 0 ? line : line.slice(0, colon);
    if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data += `${value}\n`;
    else if (field === 'id' && !value.includes('\0')) this.lastEventId = value;
    else if (field === 'retry' && /^[0-9]+$/.test(value)) this.listener.retry(Number(value));
  }

  #dispatch(): void {
    const { lastEventId, listener } = this;
    const [event, data, hasFields] = [this.#event || 'message', this.#data, this.#hasFields];
    this.#event = this.#data = '';
    this.#hasFields = false;
    if (hasFields) listener.block(lastEventId);
    if (data !== '') listener.event(event, data.slice(0, -1), lastEventId);
  }
}
