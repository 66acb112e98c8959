import { TERMINAL_CURSOR } from '../protocol/cursor.js';
import { show } from '../protocol/event.js';
import { SSEError } from '../sse.error.js';
import type { Entrance } from '../transport/transport.js';
import type { ClientSettings } from './clients/client-settings.js';
import type { Client } from './clients/client.js';
import type { BusyReason, ControlFrames } from './clients/control-frames.js';
import type { Registry } from './clients/registry.js';
import type { Groups } from './groups.js';
import type { Reporter } from './reporting/reporter.js';

/** At `maxClients`: `retry` answers `sse.busy`, after which an EventSource comes back; `reject` is a 503, which stops it. */
export type OnLimit = 'retry' | 'reject';
/** At `maxClientsPerGroup`: the same, or the oldest of the group ends for good. */
export type OnGroupLimit = 'evict-oldest' | OnLimit;

export interface AdmissionLimits {
  readonly maxClients: number;
  readonly maxClientsPerGroup: number;
  readonly onLimit: OnLimit;
  readonly onGroupLimit: OnGroupLimit;
}

export type Verdict =
  | { readonly kind: 'admit'; /** who has to leave first */ readonly evict?: Client }
  | { readonly kind: OnLimit; readonly message: string };

const ADMIT: Verdict = { kind: 'admit' };

/** Decides about one more client of this group, `leaving` being a client that it replaces. Counts live connections, exactly. */
export function judge(
  { maxClients, maxClientsPerGroup, onLimit, onGroupLimit }: AdmissionLimits,
  clients: Pick<Registry, 'size' | 'membersOf'>,
  group: string | undefined,
  leaving?: Client,
): Verdict {
  const left = leaving ? 1 : 0;
  const mates = group === undefined ? undefined : clients.membersOf(group);
  if (mates && mates.size - left >= maxClientsPerGroup) {
    if (onGroupLimit !== 'evict-oldest') {
      return { kind: onGroupLimit, message: `the group has ${mates.size} of ${maxClientsPerGroup} clients` };
    }
    const oldest = mates.values().next().value;
    if (oldest) return { kind: 'admit', evict: oldest };
  }
  if (clients.size - left < maxClients) return ADMIT;
  return { kind: onLimit, message: `there are ${clients.size} of ${maxClients} clients` };
}

export interface AdmissionContext {
  readonly limits: AdmissionLimits;
  readonly clients: Registry;
  readonly groups: Groups;
  readonly reporter: Reporter;
  readonly shuttingDown: () => boolean;
  readonly controlFrames: (named: boolean) => ControlFrames;
  /** A `retry` that spreads those who come back together. */
  readonly retry: (interval: number) => number;
  /** What a client comes back with that has no place yet. */
  readonly cursorOfUnopened: (settings: ClientSettings) => string;
}

/** A request for a stream, as far as it decides about that. */
export interface Request {
  readonly isHead: boolean;
  /** When it came in, on the clock of `performance.now()`; Infinity where nobody knows. */
  readonly askedAt: number;
}

/** Where a request for a stream is let in, or turned away in the way that the limits ask for. */
export class Admission {
  constructor(private readonly context: AdmissionContext) {}

  /** Whether the request may come in; otherwise it has been answered. Throws `TOO_MANY_CLIENTS`, for `reject`, and `CLIENT_EXISTS`. */
  ask(settings: ClientSettings, { isHead, askedAt }: Request, entrance: Entrance): boolean {
    if (isHead) {
      entrance.answerHeaders();
      return false;
    }
    if (settings.lastEventId === TERMINAL_CURSOR) {
      entrance.answerNoContent();
      return false;
    }
    if (this.context.shuttingDown()) return this.#turnAway(settings, entrance, 'shutdown');
    // One connection must not take the places of many: all but the first of these can never be served meanwhile.
    if (entrance.waits) return this.#turnAway(settings, entrance, 'pipelined');
    // Whoever decided what it may follow may not have known of that yet.
    if (this.#isOutdated(settings, askedAt)) return this.#turnAway(settings, entrance, 'outdated');
    return this.#admit(settings, entrance);
  }

  #isOutdated({ group }: ClientSettings, askedAt: number): boolean {
    return group !== undefined && this.context.groups.hasActedSince(group, askedAt);
  }

  #admit(settings: ClientSettings, entrance: Entrance): boolean {
    const { clients, limits } = this.context;
    const replaced = clients.get(settings.id);
    if (replaced && (settings.group === undefined || replaced.group !== settings.group)) {
      throw new SSEError(
        'CLIENT_EXISTS',
        `A client with the id ${show(settings.id)} is connected already, and not known to be of the same ` +
          'group. Leave `id` out, or give both the same `group`.',
      );
    }
    const verdict = judge(limits, clients, settings.group, replaced);
    if (verdict.kind === 'retry') return this.#turnAway(settings, entrance, 'full');
    if (verdict.kind === 'reject') throw this.#rejection(verdict.message);
    replaced?.end('replaced');
    if (verdict.kind === 'admit') verdict.evict?.end('evicted');
    return true;
  }

  #turnAway(settings: ClientSettings, entrance: Entrance, reason: BusyReason): false {
    const { reporter, cursorOfUnopened, controlFrames, retry } = this.context;
    reporter.refused(reason);
    const control = controlFrames(settings.controlEvents);
    const busy = control.busy(cursorOfUnopened(settings), retry(settings.retryInterval), reason);
    entrance.turnAway(busy, settings.plannedEnd, reason === 'shutdown');
    return false;
  }

  #rejection(message: string): SSEError {
    this.context.reporter.refused(message);
    return new SSEError('TOO_MANY_CLIENTS', `No room for another client: ${message}.`);
  }
}
