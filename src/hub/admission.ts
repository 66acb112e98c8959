import type { Client } from './clients/client.js';

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

/** Who may come in. Counts live connections, exactly. */
export class Admission {
  #clients = 0;
  readonly #groups = new Map<string, Set<Client>>();

  constructor(private readonly limits: AdmissionLimits) {}

  /** Decides about one more client of this group, `leaving` being a client that it replaces. */
  ask(group: string | undefined, leaving?: Client): Verdict {
    const { maxClients, maxClientsPerGroup, onLimit, onGroupLimit } = this.limits;
    const left = leaving ? 1 : 0;
    const mates = group === undefined ? undefined : this.#groups.get(group);
    if (mates && mates.size - left >= maxClientsPerGroup) {
      if (onGroupLimit !== 'evict-oldest') {
        return { kind: onGroupLimit, message: `the group has ${mates.size} of ${maxClientsPerGroup} clients` };
      }
      const oldest = mates.values().next().value;
      if (oldest) return { kind: 'admit', evict: oldest };
    }
    if (this.#clients - left < maxClients) return ADMIT;
    return { kind: onLimit, message: `there are ${this.#clients} of ${maxClients} clients` };
  }

  enter(client: Client): void {
    this.#clients++;
    if (client.group === undefined) return;
    const mates = this.#groups.get(client.group);
    if (mates) mates.add(client);
    else this.#groups.set(client.group, new Set([client]));
  }

  leave(client: Client): void {
    this.#clients--;
    if (client.group === undefined) return;
    const mates = this.#groups.get(client.group);
    mates?.delete(client);
    if (mates?.size === 0) this.#groups.delete(client.group);
  }

  /** Oldest first. */
  membersOf(group: string): Client[] {
    return [...(this.#groups.get(group) ?? [])];
  }
}
