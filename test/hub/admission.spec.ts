import { describe, expect, it } from '@jest/globals';

import { Admission, type AdmissionLimits } from '../../src/hub/admission.js';
import type { Client } from '../../src/hub/clients/client.js';

function client(group?: string): Client {
  return { group } as Client;
}

function admission(limits: Partial<AdmissionLimits>): Admission {
  return new Admission({
    maxClients: Infinity,
    maxClientsPerGroup: Infinity,
    onLimit: 'retry',
    onGroupLimit: 'evict-oldest',
    ...limits,
  });
}

describe('Admission', () => {
  it('counts exactly, and refuses in the way that was asked for', () => {
    for (const onLimit of ['retry', 'reject'] as const) {
      const gate = admission({ maxClients: 2, onLimit });
      const [one, two] = [client(), client()];
      gate.enter(one);
      expect(gate.ask(undefined).kind).toBe('admit');
      gate.enter(two);
      expect(gate.ask(undefined)).toMatchObject({ kind: onLimit, message: 'there are 2 of 2 clients' });
      gate.leave(one);
      expect(gate.ask(undefined).kind).toBe('admit');
    }
  });

  it('names the oldest of a full group as the one to leave, even when the hub is full', () => {
    const gate = admission({ maxClients: 2, maxClientsPerGroup: 2 });
    const [oldest, newer] = [client('g'), client('g')];
    gate.enter(oldest);
    gate.enter(newer);
    expect(gate.ask('g')).toEqual({ kind: 'admit', evict: oldest });
    expect(gate.ask('other').kind).toBe('retry');
    gate.leave(oldest);
    gate.enter(client('g'));
    expect(gate.ask('g')).toEqual({ kind: 'admit', evict: newer });
  });

  it('refuses the newcomer of a full group where that was asked for', () => {
    const gate = admission({ maxClientsPerGroup: 1, onGroupLimit: 'reject' });
    gate.enter(client('g'));
    expect(gate.ask('g')).toMatchObject({ kind: 'reject', message: 'the group has 1 of 1 clients' });
    expect(gate.ask('other').kind).toBe('admit');
  });

  it('a client that is replaced does not count', () => {
    const gate = admission({ maxClients: 1, maxClientsPerGroup: 1 });
    const replaced = client('g');
    gate.enter(replaced);
    expect(gate.ask('g', replaced)).toEqual({ kind: 'admit' });
  });

  it('forgets empty groups', () => {
    const gate = admission({});
    const one = client('g');
    gate.enter(one);
    expect(gate.membersOf('g')).toEqual([one]);
    gate.leave(one);
    expect(gate.membersOf('g')).toEqual([]);
  });
});
