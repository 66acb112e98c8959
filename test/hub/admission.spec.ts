import { describe, expect, it } from '@jest/globals';

import { type AdmissionLimits, judge, type Verdict } from '../../src/hub/admission.js';
import type { Client } from '../../src/hub/clients/client.js';

function client(group?: string): Client {
  return { group } as Client;
}

/** A node with these limits, and who is connected to it. */
class Node {
  readonly #limits: AdmissionLimits;
  #clients: readonly Client[] = [];

  constructor(limits: Partial<AdmissionLimits>) {
    const none = { maxClients: Infinity, maxClientsPerGroup: Infinity };
    this.#limits = { ...none, onLimit: 'retry', onGroupLimit: 'evict-oldest', ...limits };
  }

  enter(...clients: readonly Client[]): void {
    this.#clients = [...this.#clients, ...clients];
  }

  leave(client: Client): void {
    this.#clients = this.#clients.filter((other) => other !== client);
  }

  ask(group?: string, leaving?: Client): Verdict {
    const membersOf = (name: string): Set<Client> => new Set(this.#clients.filter(({ group }) => group === name));
    return judge(this.#limits, { size: this.#clients.length, membersOf }, group, leaving);
  }
}

describe('Admission', () => {
  it('counts exactly, and refuses in the way that was asked for', () => {
    for (const onLimit of ['retry', 'reject'] as const) {
      const node = new Node({ maxClients: 2, onLimit });
      const [one, two] = [client(), client()];
      node.enter(one);
      expect(node.ask(undefined).kind).toBe('admit');
      node.enter(two);
      expect(node.ask(undefined)).toMatchObject({ kind: onLimit, message: 'there are 2 of 2 clients' });
      node.leave(one);
      expect(node.ask(undefined).kind).toBe('admit');
    }
  });

  it('names the oldest of a full group as the one to leave, even when the hub is full', () => {
    const node = new Node({ maxClients: 2, maxClientsPerGroup: 2 });
    const [oldest, newer] = [client('g'), client('g')];
    node.enter(oldest);
    node.enter(newer);
    expect(node.ask('g')).toEqual({ kind: 'admit', evict: oldest });
    expect(node.ask('other').kind).toBe('retry');
    node.leave(oldest);
    node.enter(client('g'));
    expect(node.ask('g')).toEqual({ kind: 'admit', evict: newer });
  });

  it('refuses the newcomer of a full group where that was asked for', () => {
    const node = new Node({ maxClientsPerGroup: 1, onGroupLimit: 'reject' });
    node.enter(client('g'));
    expect(node.ask('g')).toMatchObject({ kind: 'reject', message: 'the group has 1 of 1 clients' });
    expect(node.ask('other').kind).toBe('admit');
  });

  it('a client that is replaced does not count', () => {
    const node = new Node({ maxClients: 1, maxClientsPerGroup: 1 });
    const replaced = client('g');
    node.enter(replaced);
    expect(node.ask('g', replaced)).toEqual({ kind: 'admit' });
  });
});
