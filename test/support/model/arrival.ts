import { type Cursor, formatCursor, parseCursor } from '../../../src/protocol/cursor.js';
import type { Block } from '../../../src/protocol/encode.js';
import { FakeTransport } from '../fake-transport.js';
import type { ConnectOptions } from '../test-hub.js';
import type { Facts } from './facts.js';
import { Ledger } from './ledger.js';
import { type Manner, NAMES } from './operations.js';
import type { Node, Person } from './people.js';
import type { Came, Sieve } from './terms.js';

/** Somebody about to connect: what the node is told, and what the ledger knows. */
export class Arrival {
  readonly ledger: Ledger;
  readonly options: ConnectOptions;
  readonly sieve: Sieve;

  constructor(
    person: Person,
    node: Node,
    private readonly how: Manner,
    facts: Facts,
  ) {
    const lastEventId = idOf(person, node, how.id);
    const came = cameWith(facts, lastEventId, how.id === 'own' ? person.cursor : undefined);
    const names = [...new Set(how.names.map((name) => NAMES[name]!))];
    const { id, group } = person;
    const now = Date.now();
    const terms = {
      // It is about what is retained when the first topic is followed.
      since: how.since > 0 && names.length > 0 ? now - how.since : undefined,
      notBefore: how.notBefore > 0 ? now - how.notBefore : undefined,
      expiresAt: how.expiresIn > 0 ? now + how.expiresIn : Infinity,
      onGap: how.latest ? ('latest' as const) : ('earliest' as const),
      lastEventId,
      group,
    };
    this.sieve = how.sieve || undefined;
    this.ledger = new Ledger(facts, node, { ...terms, clientId: id, names, sieve: this.sieve, came });
    this.options = {
      ...terms,
      id,
      heartbeatInterval: 30_000,
      topics: names.filter((name) => !name.includes('*')),
      patterns: names.filter((name) => name.includes('*')),
    };
  }

  get hasInitial(): boolean {
    return this.how.initial && this.how.names.length > 0;
  }

  /** It may fall behind what is retained. */
  get mayLag(): boolean {
    return this.how.capacity !== Infinity || this.hasInitial;
  }

  transport(onBlock: (block: Block) => void): FakeTransport {
    return new FakeTransport({ capacity: this.how.capacity, atOnce: this.how.atOnce, onBlock });
  }
}

function idOf({ lastEventId }: Person, { test }: Node, id: Manner['id']): string {
  switch (id) {
    case 'own':
      return lastEventId;
    case 'none':
      return '';
    case 'foreign':
      return '17';
    case 'epoch':
      return formatCursor('another', { ms: 1, seq: 1 });
    case 'ahead':
      return test.log.cursorAhead;
  }
}

/** What a node can make of the last event ID that somebody brings. */
function cameWith(facts: Facts, lastEventId: string, received: Cursor | undefined): Came {
  if (lastEventId === '') return { with: 'nothing' };
  const cursor = parseCursor(lastEventId);
  if (cursor) return facts.has(cursor) ? { with: 'cursor', ...cursor } : { with: 'garbage' };
  if (!received || !facts.has({ ...received, epoch: facts.epoch })) return { with: 'garbage' };
  return { with: 'id', ...received };
}
