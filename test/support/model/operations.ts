import fc from 'fast-check';

/** Operations name topics by their place here; `undefined` stands for everybody. */
export const TOPICS = ['a', 'b', 'c:1', 'c:2', 'a', 'b', 'c:1', undefined] as const;
/** And what is followed by its place here. */
export const NAMES = ['a', 'b', 'c:1', 'c:2', 'c:*', '**', 'a', 'b'] as const;

/** What may happen. Numbers are taken modulo what there is, so that any list of operations can be shortened. */
export type Operation =
  | { do: 'publish'; topic: number; count: number; except: number; exceptGroup: number; id: boolean; large: boolean }
  | { do: 'turn' }
  | { do: 'advance'; ms: number }
  | { do: 'connect'; who: number; how: Manner }
  | { do: 'read'; who: number; count: number }
  | { do: 'cut'; who: number; count: number }
  | { do: 'subscribe'; who: number; name: number; sieve: number }
  | { do: 'unsubscribe'; who: number; name: number }
  | { do: 'close' | 'open'; topic: number }
  | { do: 'send'; who: number; id: boolean }
  | { do: 'remove'; who: number; reconnect: boolean }
  | { do: 'removeGroup'; group: number }
  | { do: 'hold' | 'release' | 'lose' | 'restart' }
  /** The next filter, or observer, that sees an event does this. */
  | { do: 'later'; what: Operation };

/** How somebody comes. */
export interface Manner {
  readonly node: number;
  readonly names: readonly number[];
  /** `own`: with the last event ID that it has. */
  readonly id: 'own' | 'none' | 'foreign' | 'epoch' | 'ahead';
  readonly atOnce: boolean;
  readonly capacity: number;
  readonly sieve: number;
  readonly latest: boolean;
  /** Milliseconds ago; 0 for not at all. */
  readonly since: number;
  readonly notBefore: number;
  readonly expiresIn: number;
  readonly initial: boolean;
}

const small = fc.nat({ max: 7 });
const often = (
  weight: number,
  arbitrary: fc.Arbitrary<Operation>,
): { weight: number; arbitrary: typeof arbitrary } => ({
  weight,
  arbitrary,
});
const rarely = <T>(value: fc.Arbitrary<T>, usual: T): fc.Arbitrary<T> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: value });

const manner: fc.Arbitrary<Manner> = fc.record({
  node: fc.nat({ max: 1 }),
  names: fc.array(small, { maxLength: 4 }),
  id: fc.constantFrom('own', 'own', 'own', 'own', 'none', 'foreign', 'epoch', 'ahead'),
  atOnce: fc.boolean(),
  capacity: fc.constantFrom(Infinity, Infinity, 1, 2, 5),
  sieve: rarely(fc.constantFrom(2, 3), 0),
  latest: rarely(fc.constant(true), false),
  since: rarely(fc.constantFrom(1, 100, 1_000_000_000), 0),
  notBefore: rarely(fc.constantFrom(1, 100, 2_000), 0),
  expiresIn: rarely(fc.constantFrom(50, 1_500), 0),
  initial: rarely(fc.constant(true), false),
});

const publish = fc.record({
  do: fc.constant('publish' as const),
  topic: small,
  count: fc.constantFrom(1, 1, 1, 2, 5),
  except: rarely(small, -1),
  exceptGroup: rarely(fc.nat({ max: 1 }), -1),
  id: rarely(fc.constant(true), false),
  large: rarely(fc.constant(true), false),
});

const subscribe = fc.record({
  do: fc.constant('subscribe' as const),
  who: small,
  name: small,
  sieve: rarely(fc.constantFrom(2, 3), 0),
});
const unsubscribe = fc.record({ do: fc.constant('unsubscribe' as const), who: small, name: small });
const mark = fc.record({ do: fc.constantFrom('close' as const, 'open' as const), topic: small });
const send = fc.record({ do: fc.constant('send' as const), who: small, id: fc.boolean() });
const remove = fc.record({ do: fc.constant('remove' as const), who: small, reconnect: fc.boolean() });
const cut = fc.record({ do: fc.constant('cut' as const), who: small, count: fc.constantFrom(0, 1, 2, 3, 100) });
const connect = fc.record({ do: fc.constant('connect' as const), who: small, how: manner });
const within = fc.oneof(publish, publish, subscribe, unsubscribe, mark, send, remove, cut, connect);

export const operation: fc.Arbitrary<Operation> = fc.oneof(
  often(20, publish),
  often(10, fc.constant({ do: 'turn' } as const)),
  often(3, fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(1, 1, 60, 1_100, 31_000, 62_000) })),
  often(16, connect),
  often(8, fc.record({ do: fc.constant('read' as const), who: small, count: fc.constantFrom(1, 2, 100) })),
  often(8, cut),
  often(3, subscribe),
  often(3, unsubscribe),
  often(2, mark),
  often(3, send),
  often(1, remove),
  often(1, fc.record({ do: fc.constant('removeGroup' as const), group: fc.nat({ max: 1 }) })),
  often(3, fc.record({ do: fc.constantFrom('hold' as const, 'release' as const, 'release' as const) })),
  often(1, fc.record({ do: fc.constantFrom('lose' as const, 'restart' as const) })),
  often(2, fc.record({ do: fc.constant('later' as const), what: within })),
);

/** The limits of one node. */
export interface Limits {
  readonly maxHistorySize: number;
  readonly maxHistoryAge: number;
  readonly maxHistoryBytes: number;
  readonly highWaterMark: number;
  /** Some topics may be kept shorter than others. */
  readonly history: readonly { readonly topics: string; readonly maxSize: number }[];
  /** Milliseconds. */
  readonly flushInterval: number;
  /** Some topics may be urgent, or lazy. */
  readonly flush: readonly { readonly topics: string; readonly interval: number }[];
}

const limits: fc.Arbitrary<Limits> = fc.record({
  maxHistorySize: fc.constantFrom(Infinity, 0, 1, 3, 10),
  maxHistoryAge: fc.constantFrom(Infinity, Infinity, 1_000),
  maxHistoryBytes: fc.constantFrom(2 ** 30, 2 ** 30, 65_536),
  highWaterMark: fc.constantFrom(65_536, 1, 300),
  history: fc.constantFrom([], [], [{ topics: 'a', maxSize: 0 }]),
  flushInterval: fc.constantFrom(0, 50, 50, 2_000),
  flush: fc.constantFrom([], [], [{ topics: 'a', interval: 0 }], [{ topics: 'b', interval: 1_000 }]),
});

/** Of both: often the same. */
export const limitsOfNodes: fc.Arbitrary<readonly [Limits, Limits]> = fc.oneof(
  limits.map((same) => [same, same] as const),
  fc.tuple(limits, limits),
);
