import type { Entry, EventEntry } from '../../protocol/entry.js';
import { show, UNNAMED } from '../../protocol/event.js';
import type { DisconnectReason, ResetReason, Resumed } from '../../sse.client.js';
import { describe, type SSELogger, stackOf } from './logger.js';
import { Counters } from './stats.js';
import { ThrottledLog } from './throttled-log.js';

/** What a line about a client names. */
interface Named {
  readonly id: string;
  readonly topics: ReadonlySet<string>;
}

/** What happens to clients, counted, and logged where that is asked for. */
export class Reporter {
  readonly counters = new Counters();
  readonly #failures: ThrottledLog;
  /** What could not be published any more since the log is being let go of. */
  #lost: { count: number; error?: unknown } | undefined;

  constructor(
    private readonly logger: SSELogger,
    private readonly debug: boolean,
  ) {
    this.#failures = new ThrottledLog((message) => logger.error(message));
  }

  connected(
    { id, topics }: Named,
    { resumed, loss }: { resumed: Resumed; loss?: { reason: ResetReason } | undefined },
  ): void {
    if (!this.debug) return;
    const detail = loss ? `${resumed}: ${loss.reason}` : resumed;
    this.logger.log(`connect ${id} to ${list(topics)} (${detail})`);
  }

  followed({ id, topics }: Named): void {
    if (this.debug) this.logger.log(`${id} follows ${list(topics)}`);
  }

  disconnected({ id }: Pick<Named, 'id'>, reason: DisconnectReason, left: number): void {
    if (reason === 'slow') this.counters.slow++;
    if (this.debug) this.logger.log(`disconnect ${id} (${reason}), ${left} open`);
  }

  refused(reason: string): void {
    this.counters.refused++;
    if (this.debug) this.logger.log(`refused a connection (${reason})`);
  }

  delivered(events: number, bytes: number): void {
    this.counters.delivered += events;
    this.counters.bytes += bytes;
  }

  replayed(events: number): void {
    this.counters.replayed += events;
  }

  heartbeat(): void {
    this.counters.heartbeats++;
  }

  reset({ id }: Pick<Named, 'id'>, reason: ResetReason): void {
    this.counters.countReset(reason);
    if (this.debug) this.logger.log(`reset ${id} (${reason})`);
  }

  filterFailed({ id }: Pick<Named, 'id'>, error: unknown, topic: string | undefined): void {
    this.logger.error(
      `The filter of client ${id} failed on an event of ${topic ?? 'everybody'}; the client is reset and ` +
        `disconnected, and comes back behind it: ${describe(error)}`,
      stackOf(error),
    );
  }

  initialFailed({ id }: Pick<Named, 'id'>, error: unknown): void {
    this.logger.error(`\`initial\` of client ${id} failed; its stream ends: ${describe(error)}`, stackOf(error));
  }

  clientFailed({ id }: Pick<Named, 'id'>, error: unknown): void {
    this.logger.error(`Client ${id} failed and is disconnected: ${describe(error)}`, stackOf(error));
  }

  mergeFailed(error: unknown): void {
    this.#failures.log(`A \`merge\` failed; its clients get each event instead: ${describe(error)}`);
  }

  publishFailed(entry: Entry, error: unknown): void {
    this.counters.publishFailures++;
    if (this.#lost) {
      this.counters.dropped++;
      this.#lost.count++;
      this.#lost.error = error;
      return;
    }
    this.#failures.log(`${nameOf(entry)} failed: ${describe(error)}`);
  }

  /** The log is let go of: what still waits for it then is told in one line, by `closed`. */
  closing(): void {
    this.#lost = { count: 0 };
  }

  closed(kind: string): void {
    this.#failures.flush();
    const { count, error } = this.#lost ?? { count: 0 };
    if (count === 0) return;
    this.logger.error(
      `${count} of the events and marks that were broadcast on this node still waited for the backplane of kind "${kind}" ` +
        `when the hub shut down, and are lost: ${describe(error)}`,
    );
  }

  schemaFailed({ topic, event }: EventEntry, error: unknown): void {
    this.logger.error(
      `A schema answered a promise that was rejected, for ${show(event ?? UNNAMED)} on ${show(topic)}: ${describe(error)}`,
      stackOf(error),
    );
  }

  groupNotSubscribed(group: string, topic: string, count: number, error: unknown): void {
    this.logger.warn(`${count} clients of group ${group} do not follow ${topic}: ${describe(error)}`);
  }

  groupUnreadable(group: string, error: unknown): void {
    this.#failures.log(
      `groupsOf() tells nothing of the metadata of ${show(group)}, which has no JSON form: ${describe(error)}`,
    );
  }

  observerFailed(error: unknown): void {
    this.logger.error(`An observer failed; the others, and the publisher, go on: ${describe(error)}`, stackOf(error));
  }
}

/** What the application has called. */
function nameOf(entry: Entry): string {
  switch (entry.kind) {
    case 'event':
      return entry.topic === undefined ? 'broadcastAll()' : `broadcast() to ${show(entry.topic)}`;
    case 'close':
    case 'open':
      return `${entry.kind}Topic(${show(entry.topic)})`;
    case 'removeGroup':
      return `removeGroup(${show(entry.group)})`;
    case 'subscribeGroup':
    case 'unsubscribeGroup':
      return `${entry.kind}(${show(entry.group)}, ${show(entry.topic)})`;
    case 'run':
    case 'endRun':
      return `the ${entry.kind === 'run' ? 'beginning' : 'end'} of a run on ${show(entry.topic)}`;
    case 'signOfRuns':
    case 'doubtRuns':
      return 'a sign of life of those who have runs';
  }
}

function list(topics: ReadonlySet<string>): string {
  return [...topics].join(', ') || 'nothing yet';
}
