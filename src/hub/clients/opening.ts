import type { AsyncResource } from 'node:async_hooks';

import { parseCursor } from '../../protocol/cursor.js';
import type { Frame } from '../../protocol/frame.js';
import type { SSEClient } from '../../sse.client.js';
import type { ClientContext } from './client-context.js';
import type { ClientSettings } from './client-settings.js';
import type { ConnectionTimer } from './connection-timer.js';
import type { ControlFrames } from './control-frames.js';
import type { Member } from './followers.js';
import { privateEvents } from './private-events.js';
import type { Reader } from './reader.js';
import type { Standing } from './standing.js';
import { cursorOfUnopened, resolveStart, type Start, startAfterGap } from './starting-place.js';

/** A client, as its opening sees it. */
export interface OpeningClient extends Member {
  readonly id: string;
  readonly topics: ReadonlySet<string>;
  readonly connected: boolean;
  readonly settings: ClientSettings;
  readonly control: ControlFrames;
  readonly origin: AsyncResource;
  readonly view: SSEClient;
  readonly standing: Standing;
  readonly reader: Reader;
  readonly timer: ConnectionTimer;
  /** Until all of its `initial` events have left, its cursors say that they have not: it may have to come back for them. */
  initialDue: boolean;
  cursorAt(index: number): string;
  /** Begins there; what is before `missedBefore` it had missed when it came. */
  startAt(start: Start, missedBefore: number): void;
  send(frame: Frame): void;
  write(frames: Frame[]): void;
  pumpSoon(): void;
  end(kind: 'failed'): void;
}

/**
 * How far it is. `seeking`: it has no place yet; `initialising`: it has `sse.open`, and the application is asked for what it
 * gets before everything else; `open`: the client takes what follows its place.
 */
type Stage = 'seeking' | 'initialising' | 'open';

/**
 * How a client finds its place: from its request to `sse.open` and what it gets first, and once more when another epoch of
 * the log begins. Then it is let go of, with all that matters only on the way.
 */
export class Opening {
  /** The head when the client connected; before the window was known there was none. */
  #headThen: number | undefined;
  /** The cursor of that place, for who begins there: by the time it is open, the place may have left the window. */
  #cursorThen: string | undefined;
  /** The client's place is in another history, for this reason. */
  #gap: 'epoch' | 'diverged' | undefined;
  #announced = false;

  constructor(
    private readonly context: ClientContext,
    private readonly client: OpeningClient,
    private current: Stage = 'seeking',
  ) {
    if (!context.ready) return;
    const { log } = context;
    const { lastEventId, since, from } = client.settings;
    this.#headThen = log.head;
    if (lastEventId === '' && since === undefined && from === undefined) this.#cursorThen = log.cursorBefore(log.head);
  }

  get stage(): Stage {
    return this.current;
  }

  /** It has nothing more to do. */
  get isDone(): boolean {
    return this.current === 'open' && this.#gap !== 'epoch' && this.client.standing.progress !== 'idle';
  }

  /** The cursor of a client that has no place yet. */
  get cursor(): string {
    return cursorOfUnopened(this.context.log, this.context.ready, this.client.settings);
  }

  /** The cursor of a client that opens at this index, as long as it may not claim to have what is before it. */
  cursorAt(index: number): string {
    const { lastEventId } = this.client.settings;
    return parseCursor(lastEventId) ? lastEventId : (this.#cursorThen ?? this.context.log.cursorBefore(index));
  }

  /** Another epoch of the log has begun: the head of the old one says nothing. Whoever was open begins anew. */
  restart(): void {
    this.#headThen = undefined;
    this.#cursorThen = undefined;
    if (this.current !== 'seeking') this.#gap = 'epoch';
  }

  /** The log has not got what the client claims to have, and never will. */
  diverged(): void {
    if (this.current === 'seeking') this.#gap = 'diverged';
  }

  /** Goes on where that is possible now. */
  advance(): void {
    const { client, context } = this;
    if (this.current === 'seeking') this.#tryToOpen();
    // Who hears that it is open may follow something at once, or leave.
    const isWaiting =
      this.current === 'open' && client.connected && context.ready && client.standing.progress === 'idle';
    if (isWaiting && !client.followers.following.empty) this.#beginToFollow();
  }

  /** The window of the log is known: whoever was open in another epoch has a place in this one, like those who come back. */
  settle(): void {
    if (this.#gap !== 'epoch' || this.client.standing.progress === 'idle') return;
    const start = this.#find();
    if (!start) return;
    this.#gap = undefined;
    this.#startAt(start);
  }

  #tryToOpen(): void {
    const { client } = this;
    const start = this.#find();
    if (!start) return;
    this.#startAt(start);
    this.current = 'open';
    if (!client.followers.following.empty) client.standing.become('behind');
    this.context.reporter.connected(client, start);
    const initial = start.resumed === 'full' ? undefined : client.settings.initial;
    client.initialDue = initial !== undefined;
    this.#sendOpen(start);
    if (initial && client.connected) void this.#initialise(initial);
  }

  /** The first topics came after the stream was open: the replay begins now, from the cursor it has kept. */
  #beginToFollow(): void {
    const start = this.#find();
    if (!start) return;
    this.#gap = undefined;
    this.client.standing.become('behind');
    this.#startAt(start);
  }

  #startAt(start: Start): void {
    this.client.startAt(start, this.#headThen ?? 0);
  }

  /**
   * Where the client begins; `undefined` while this node's window is unknown, or does not reach to where the client is. So
   * long it has its headers, `retry` and heartbeats.
   */
  #find(): Start | undefined {
    if (!this.context.ready) return this.#announce();
    const { log } = this.context;
    const { following } = this.client.followers;
    // Whoever came before the window was known begins at the head that it now has.
    this.#headThen ??= log.head;
    const { lastEventId, since, notBefore, from, onGap } = this.client.settings;
    const { runs } = this.context;
    const wish = { lastEventId, since, notBefore, from, runs, onGap, head: this.#headThen };
    if (this.#gap) return startAfterGap(log, following, wish, this.#gap);
    const start = resolveStart(log, following, wish);
    if (!('ahead' in start)) return start;
    // It had a place before: what it claims now, the log will never have.
    if (this.current !== 'seeking') return startAfterGap(log, following, wish, 'diverged');
    this.#announce();
    if (this.client.connected) this.context.hold(this.client, start.ahead);
    return undefined;
  }

  #announce(): undefined {
    if (this.#announced || this.current !== 'seeking') return;
    this.#announced = true;
    const { control, settings } = this.client;
    this.client.send(control.cursor(this.cursor, this.context.retry(settings.retryInterval)));
  }

  /** `sse.open`, and in the same write what has to be said before anything else. */
  #sendOpen({ resumed, next }: Start): void {
    const { client } = this;
    const { standing, reader } = client;
    const cursor = client.cursorAt(next);
    const retry = this.context.retry(client.settings.retryInterval);
    const { heartbeatInterval } = client.timer;
    const open = client.control.open(cursor, retry, { clientId: client.id, resumed, heartbeatInterval });
    standing.give(cursor, performance.now());
    if (standing.progress === 'idle') return client.write([open, ...reader.readPrivates(next)]);
    const due = reader.readDue(next);
    standing.moveTo(due.next);
    client.write([open, ...due.frames]);
  }

  async #initialise(initial: NonNullable<ClientSettings['initial']>): Promise<void> {
    const { client } = this;
    this.current = 'initialising';
    try {
      const entries = await client.origin.runInAsyncScope(initial, undefined, client.view);
      if (!client.connected) return;
      const allLeft = (): void => void (client.initialDue = false);
      if (entries.length === 0) allLeft();
      client.reader.addPrivateFirst(privateEvents(entries, client.standing.place.next, client, allLeft));
      this.current = 'open';
      client.pumpSoon();
    } catch (error) {
      if (!client.connected) return;
      this.context.reporter.initialFailed(client, error);
      client.end('failed');
    }
  }
}
