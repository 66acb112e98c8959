import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Inject, Logger, Post } from '@nestjs/common';
import { type } from 'arktype';
import {
  type SchemaRule,
  type SSEConfig,
  type SSEError,
  type SSEEvent,
  SSEService,
  type StandardResult,
  type StandardSchemaV1,
  topicPattern,
} from 'nestjs-sse-hub';
import { Subject } from 'rxjs';
import * as v from 'valibot';
import { z } from 'zod';

import { closeAll, platforms, startApp } from '../support/platforms.js';
import { TypeScriptService } from '../support/typescript-service.js';

let errors: unknown[][];

beforeEach(() => {
  errors = [];
  const ignore = (): void => {};
  Logger.overrideLogger({ log: ignore, warn: ignore, error: (...args: unknown[]) => void errors.push(args) });
});

afterEach(async () => {
  await closeAll();
  Logger.overrideLogger(false);
});

/** The same order in the words of three libraries, and what each says of one whose total is a text. */
const LIBRARIES: readonly [name: string, order: StandardSchemaV1, said: string][] = [
  [
    'Zod',
    z.object({ id: z.number(), lines: z.array(z.object({ total: z.number() })) }),
    'lines[1].total: Invalid input: expected number, received string.',
  ],
  [
    'Valibot',
    v.object({ id: v.number(), lines: v.array(v.object({ total: v.number() })) }),
    'lines[1].total: Invalid type: Expected number but received "7".',
  ],
  [
    'ArkType',
    type({ id: 'number', lines: type({ total: 'number' }).array() }),
    'lines[1].total must be a number (was a string).',
  ],
];
const ORDER = { id: 1, lines: [{ total: 5 }, { total: 7 }] };
const WRONG_ORDER = { id: 1, lines: [{ total: 5 }, { total: '7' }] };

/** A schema that answers what it is told to. */
function schemaThat(validate: (value: unknown) => unknown): StandardSchemaV1 {
  const answer = validate as (value: unknown) => StandardResult;
  return { '~standard': { version: 1, vendor: 'test', validate: answer } };
}

function hub(schemas: readonly SchemaRule[], config: SSEConfig = {}) {
  const sse = new SSEService({ schemas, ...config });
  const seen: [string | undefined, unknown][] = [];
  sse.observe(topicPattern('**')).subscribe(({ event, data }) => seen.push([event, data]));
  return { sse, seen };
}

/** One whose events `n` on `t` have this schema. */
function hubWith(schema: StandardSchemaV1, config?: SSEConfig) {
  return hub([{ topics: 't', events: { n: schema } }], config);
}

function faultOf(publish: () => void): SSEError {
  try {
    publish();
  } catch (error) {
    return error as SSEError;
  }
  throw new Error('Nothing was refused.');
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

for (const [library, order, said] of LIBRARIES) {
  describe(`schemas of ${library}`, () => {
    const rules = [{ topics: 'orders', events: { created: order } }];
    const message = `data: it does not match the schema of "created" on "orders". ${said}`;
    const refusal = { code: 'INVALID_EVENT', status: 400, message };

    it('let pass what matches, in both forms of both verbs', async () => {
      const { sse, seen } = hub(rules);
      sse.broadcast('orders', 'created', ORDER);
      sse.broadcast({ topic: 'orders', event: 'created', data: ORDER });
      await sse.publish('orders', 'created', ORDER);
      await sse.publish({ topic: 'orders', event: 'created', data: ORDER });
      expect(seen).toEqual(Array.from({ length: 4 }, () => ['created', ORDER]));
    });

    it('refuse what does not, in both forms of both verbs, and say where and why', async () => {
      const { sse, seen } = hub(rules);
      const event = { topic: 'orders', event: 'created', data: WRONG_ORDER };
      expect(faultOf(() => sse.broadcast('orders', 'created', WRONG_ORDER))).toMatchObject(refusal);
      expect(faultOf(() => sse.broadcast(event, { exceptGroup: 'g' }))).toMatchObject(refusal);
      await expect(sse.publish('orders', 'created', WRONG_ORDER)).rejects.toMatchObject(refusal);
      await expect(sse.publish(event)).rejects.toMatchObject(refusal);
      expect(seen).toEqual([]);
    });
  });
}

describe('schemas', () => {
  it('are for the topics that they name, and the first that matches counts', () => {
    const { sse, seen } = hub([
      { topics: ['special', topicPattern('order:*')], events: { n: z.literal(1) } },
      { topics: topicPattern('order:**'), events: { n: z.literal(2) } },
    ]);
    for (const [topic, data] of [
      ['special', 1],
      ['order:7', 1],
      ['order:7:lines', 2],
      ['order', 2],
      ['other', 3],
    ] as const) {
      sse.broadcast(topic, 'n', data);
      if (topic !== 'other') expect(() => sse.broadcast(topic, 'n', 3)).toThrow(`on "${topic}"`);
    }
    expect(seen.map(([, data]) => data)).toEqual([1, 1, 2, 2, 3]);
  });

  it('refuse a name that they do not list, also one that every object has', () => {
    const { sse, seen } = hub([{ topics: 'orders', events: { created: z.any(), removed: z.any() } }]);
    for (const name of ['creatd', 'constructor', '__proto__', 'message']) {
      expect(faultOf(() => sse.broadcast('orders', name, 1))).toMatchObject({
        code: 'INVALID_EVENT',
        message: `event: "${name}" has no schema on "orders", where these have one: "created", "removed".`,
      });
    }
    expect(() => sse.broadcast({ topic: 'orders', data: 1 })).toThrow('event: "message" has no schema on "orders"');
    expect(seen).toEqual([]);
  });

  it('may have none at all, so that nothing is published on a topic', () => {
    const { sse } = hub([{ topics: 'closed-off', events: {} }]);
    expect(() => sse.broadcast('closed-off', 'n', 1)).toThrow('where these have one: none.');
  });

  it('call events without a name `message`', () => {
    const { sse, seen } = hub([{ topics: 't', events: { message: z.string() } }]);
    sse.broadcast({ topic: 't', data: 'a' });
    sse.broadcast('t', 'message', 'b');
    expect(() => sse.broadcast({ topic: 't', data: 1 })).toThrow('the schema of "message" on "t"');
    expect(seen).toEqual([
      [undefined, 'a'],
      ['message', 'b'],
    ]);
  });

  it('are not asked about events for everybody, and for one client', async () => {
    const { sse } = hub([{ topics: topicPattern('**'), events: { n: z.never() } }]);
    expect(() => sse.broadcast('t', 'n', 1)).toThrow('does not match');
    const got: unknown[] = [];
    const initial: SSEEvent = { topic: 't', event: 'n', data: 'initial' };
    sse.stream('t', { id: 'c', initial }).subscribe(({ data }) => got.push(data));
    sse.broadcastAll('n', 'all');
    sse.sendEvent('c', { topic: 't', event: 'n', data: 'sent' });
    sse.sendTo('c', 'n', 'sent, too');
    await turn();
    expect(got).toEqual(expect.arrayContaining(['initial', 'all', 'sent', 'sent, too']));
  });

  it('are not asked where `validate` is false', () => {
    const validate = jest.fn();
    const { sse, seen } = hubWith(schemaThat(validate), { validate: false });
    sse.broadcast('t', 'n', 'anything');
    sse.broadcast('t', 'unknown', 'anything');
    expect(seen).toHaveLength(2);
    expect(validate).not.toHaveBeenCalled();
  });

  it('are not asked where the hub is switched off', async () => {
    const { sse } = hubWith(z.never(), { enabled: false });
    sse.broadcast('t', 'n', 1);
    expect(await sse.publish('t', 'n', 1)).toBe('');
  });

  it('change nothing of what is published', () => {
    const { sse, seen } = hubWith(z.object({ n: z.coerce.number(), more: z.string().default('default') }));
    sse.broadcast('t', 'n', { n: '5', extra: true });
    expect(seen).toEqual([['n', { n: '5', extra: true }]]);
  });

  it('cannot change what is published', () => {
    const { sse, seen } = hubWith(
      schemaThat((value) => {
        (value as { list: number[] }).list.push(2);
        return { value };
      }),
    );
    const data = { list: [1] };
    sse.broadcast('t', 'n', data);
    expect([data, seen]).toEqual([{ list: [1] }, [['n', { list: [1] }]]]);
  });

  it('see what leaves: a Date as text, and of an object with toJSON() what that shows', () => {
    const { sse, seen } = hubWith(z.strictObject({ at: z.iso.datetime(), user: z.strictObject({ name: z.string() }) }));
    const user = { name: 'Ann', password: 'secret', toJSON: () => ({ name: 'Ann' }) };
    sse.broadcast('t', 'n', { at: new Date(0), user, gone: undefined });
    expect(seen).toEqual([['n', { at: '1970-01-01T00:00:00.000Z', user: { name: 'Ann' } }]]);
    const dates = hubWith(z.object({ at: z.date() }));
    expect(() => dates.sse.broadcast('t', 'n', { at: new Date(0) })).toThrow('at: Invalid input: expected date');
    const maps = hubWith(z.map(z.string(), z.number()));
    expect(() => maps.sse.broadcast('t', 'n', new Map([['a', 1]]))).toThrow('does not match');
  });

  it('see what leaves of data that are others whenever they are read', () => {
    let reads = 0;
    const once = <Value>(fit: Value): Value | string => (reads++ === 0 ? fit : 'something else');
    const shifting: [string, object][] = [
      [
        'a getter',
        {
          get n() {
            return once(1);
          },
        },
      ],
      ['a proxy', new Proxy({ n: 0 }, { get: (_, key) => (key === 'n' ? once(1) : undefined) })],
      ['toJSON()', { toJSON: () => once({ n: 1 }) }],
    ];
    for (const [, data] of shifting) {
      const { sse, seen } = hubWith(z.object({ n: z.literal(1) }));
      reads = 0;
      sse.broadcast('t', 'n', data);
      expect(seen).toEqual([['n', { n: 1 }]]);
      expect(reads).toBe(1);
      expect(() => sse.broadcast('t', 'n', data)).toThrow('does not match');
      expect(seen).toHaveLength(1);
    }
  });

  it('see the name that leaves, of an event that is another one whenever it is read', () => {
    const { sse, seen } = hub([{ topics: 't', events: { good: z.number() } }]);
    let reads = 0;
    const event = {
      topic: 't',
      data: 1,
      get event() {
        return reads++ === 0 ? 'good' : 'bad';
      },
    };
    sse.broadcast(event);
    expect(() => sse.broadcast(event)).toThrow('event: "bad" has no schema');
    expect(seen).toEqual([['good', 1]]);
  });

  it('see what filters and observers see, where the application serialises by itself', () => {
    const serialize = (data: unknown) => `date ${(data as Date).toISOString()}`;
    const deserialize = (text: string) => new Date(text.slice(5));
    const { sse, seen } = hubWith(z.date(), { serialize, deserialize });
    sse.broadcast('t', 'n', new Date(0));
    expect(seen).toEqual([['n', new Date(0)]]);
    const texts = hubWith(z.literal('a'), { serialize: JSON.stringify });
    texts.sse.broadcast('t', 'n', 'a');
    expect(() => texts.sse.broadcast('t', 'n', 'b')).toThrow('does not match');
  });

  it('refuse what `deserialize` cannot read back', () => {
    const { sse, seen } = hubWith(z.any(), { serialize: () => 'no JSON' });
    expect(faultOf(() => sse.broadcast('t', 'n', 1))).toMatchObject({
      code: 'INVALID_EVENT',
      message: expect.stringMatching(
        /^data: deserialize\(\) cannot read what serialize\(\) made of it\. .*JSON/,
      ) as unknown,
    });
    expect(seen).toEqual([]);
  });

  it('that close the topic leave nothing behind its end', () => {
    const { sse, seen } = hubWith(
      schemaThat((value) => {
        sse.closeTopic('t');
        return { value };
      }),
    );
    expect(faultOf(() => sse.broadcast('t', 'n', 1))).toMatchObject({ code: 'TOPIC_CLOSED' });
    expect(seen).toEqual([]);
  });
});

describe('a schema that cannot answer', () => {
  it('because it is asynchronous is refused at once, and nothing is left behind', async () => {
    for (const [, schema] of [
      ['Zod', z.string().refine(() => Promise.resolve(true))],
      [
        'Valibot',
        v.pipeAsync(
          v.string(),
          v.checkAsync(() => Promise.resolve(true)),
        ),
      ],
      ['any', schemaThat(() => Promise.resolve({ value: 1 }))],
    ] as const) {
      const { sse, seen } = hubWith(schema);
      expect(faultOf(() => sse.broadcast('t', 'n', 'a'))).toMatchObject({
        code: 'INVALID_EVENT',
        message: expect.stringMatching(
          /^data: the schema of "n" on "t" answered a promise\. It has to answer at once: leave out what is asynchronous/,
        ) as unknown,
      });
      await expect(sse.publish('t', 'n', 'a')).rejects.toMatchObject({ code: 'INVALID_EVENT' });
      await turn();
      expect(seen).toEqual([]);
      expect(errors).toEqual([]);
    }
  });

  it('because it throws is named, with what it has thrown', () => {
    const cause = new Error('no connection');
    const { sse, seen } = hubWith(
      schemaThat(() => {
        throw cause;
      }),
    );
    expect(faultOf(() => sse.broadcast('t', 'n', 'a'))).toMatchObject({
      code: 'INVALID_EVENT',
      message: 'data: the schema of "n" on "t" failed. no connection',
      cause,
    });
    expect(seen).toEqual([]);
  });

  it('because it throws, which Zod makes a promise of, has that in the log', async () => {
    const cause = new Error('no connection');
    const { sse, seen } = hubWith(
      z.string().refine(() => {
        throw cause;
      }),
    );
    expect(() => sse.broadcast('t', 'n', 'a')).toThrow('If it has thrown, the log says what.');
    await turn();
    expect(seen).toEqual([]);
    expect(errors).toEqual([
      [
        'A schema answered a promise that was rejected, for "n" on "t": Error: no connection',
        cause.stack,
        'SSEService',
      ],
    ]);
  });

  it('with a result is refused', () => {
    for (const [answer, shown] of [
      [undefined, 'undefined'],
      [true, 'true'],
      [{}, '{}'],
    ] as const) {
      const { sse, seen } = hubWith(schemaThat(() => answer));
      expect(() => sse.broadcast('t', 'n', 'a')).toThrow(
        `data: the schema of "n" on "t" answered ${shown}, which is no result of a Standard Schema.`,
      );
      expect(seen).toEqual([]);
    }
  });
});

describe('what is said of an event that does not match', () => {
  const messageOf = (issues: unknown): string => {
    const { sse } = hubWith(schemaThat(() => ({ issues })));
    return faultOf(() => sse.broadcast('t', 'n', 1)).message.replace(
      'data: it does not match the schema of "n" on "t". ',
      '',
    );
  };

  it('names each place', () => {
    const place = (path: unknown[] | undefined) => messageOf([{ path, message: 'is wrong' }]);
    expect(place(undefined)).toBe('is wrong.');
    expect(place([])).toBe('is wrong.');
    expect(place(['a', 0, 'b'])).toBe('a[0].b: is wrong.');
    expect(place([{ key: 'a' }, { key: 'b c' }, Symbol('s')])).toBe('a["b c"][Symbol(s)]: is wrong.');
    expect(place([1])).toBe('[1]: is wrong.');
  });

  it('is one line that ends, however much is wrong', () => {
    const issues = Array.from({ length: 1_000 }, (_, i) => ({
      path: Array.from({ length: 100 }, () => 'key\n'),
      message: `${i}\r\n${'x'.repeat(10_000)}`,
    }));
    const message = messageOf(issues);
    expect(message).toMatch(/; and 995 more\.$/);
    expect(message).not.toMatch(/[\r\n]/);
    expect(message.length).toBeLessThan(1_500);
    expect(messageOf([])).toBe('.');
  });

  it('is not for the visitor whose request it was', async () => {
    @Controller('orders')
    class OrdersController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Post()
      create(): void {
        this.sse.broadcast('orders', 'created', { total: 'secret' });
      }
    }
    const schemas = [{ topics: 'orders', events: { created: v.object({ total: v.number() }) } }];
    const { url } = await startApp(platforms[0]!, { config: { schemas }, controllers: [OrdersController] });
    const answer = await fetch(`${url}/orders`, { method: 'POST' });
    expect(await answer.json()).toEqual({
      statusCode: 400,
      code: 'INVALID_EVENT',
      message: 'data: it does not match the schema of "created" on "orders".',
    });
  });
});

describe('publishFrom() with schemas', () => {
  it('publishes what matches, and fails at the first value that does not, as for a source that fails', async () => {
    const { sse, seen } = hub([{ topics: topicPattern('answer:*'), events: { token: z.string() } }]);
    await expect(sse.publishFrom(values('a', 'b', 3, 'never'), 'answer:7', 'token')).rejects.toMatchObject({
      code: 'INVALID_EVENT',
      message: expect.stringContaining('the schema of "token" on "answer:7"') as unknown,
    });
    expect(seen).toEqual([
      ['token', 'a'],
      ['token', 'b'],
      ['failed', { message: 'The source of these events failed.' }],
    ]);
    expect(() => sse.broadcast('answer:7', 'token', 'c')).toThrow('is closed');

    await sse.publishFrom(values('a'), 'answer:8', 'token');
    const source = new Subject<unknown>();
    const published = sse.publishFrom(source, 'answer:9', 'token');
    source.next(7);
    await expect(published).rejects.toMatchObject({ code: 'INVALID_EVENT' });
    expect(source.observed).toBe(false);
  });
});

async function* values(...all: unknown[]): AsyncGenerator {
  for (const value of all) yield await Promise.resolve(value);
}

describe('the options `schemas` and `validate`', () => {
  const schema = z.any();

  it.each<[object, string]>([
    [{ schemas: {} }, 'SSE option `schemas` is {}; it has to be a list of { topics, events }.'],
    [{ schemas: [7] }, 'SSE option `schemas[0]` is 7; it has to be an object: { topics, events }.'],
    [{ schemas: [{ topics: 't*', events: {} }] }, 'SSE option `schemas[0].topics` is "t*"; it has to be a topic'],
    [
      { schemas: [{ topics: 't', events: {} }, { topics: 't' }] },
      'SSE option `schemas[1].events` is undefined; it has to be an object: a schema for each name.',
    ],
    [
      { schemas: [{ topics: 't', event: { n: schema } }] },
      'SSE option `schemas[0].event` is { n }; it has to be one of topics, events.',
    ],
    [
      { schemas: [{ topics: 't', events: { 'sse.open': schema } }] },
      'SSE option `schemas[0].events` is "sse.open"; it has to be the name of an event',
    ],
    [
      { schemas: [{ topics: 't', events: { n: (value: unknown) => value } }] },
      'SSE option `schemas[0].events.n` is function n; it has to be a Standard Schema, as Zod 3.24, Valibot 1, ArkType 2',
    ],
    [{ schemas: [{ topics: 't', events: { n: null } }] }, '`schemas[0].events.n` is null'],
    [
      {
        schemas: [
          { topics: 't', events: { n: { '~standard': { version: 2, validate: schema['~standard'].validate } } } },
        ],
      },
      '`schemas[0].events.n`',
    ],
    [{ schemas: [{ topics: 't', events: { n: null } }], validate: false }, '`schemas[0].events.n` is null'],
    [{ schemas: [], validate: 'yes' }, 'SSE option `validate` is "yes"; it has to be true or false.'],
    [{ validate: true }, 'SSE option `validate` is true; it has to be false, or left out, where `schemas` has none'],
    [{ schemas: [], validate: true }, 'SSE option `validate` is true'],
  ])('refuse %j', (config, message) => {
    const fault = faultOf(() => void new SSEService(config));
    expect(fault).toMatchObject({ code: 'INVALID_CONFIG', message: expect.stringContaining(message) as unknown });
  });

  it('may be left out, or say nothing', () => {
    for (const config of [{ validate: false }, { schemas: [] }, { schemas: undefined, validate: undefined }]) {
      const sse = new SSEService(config);
      expect(() => sse.broadcast('t', 'n', 1)).not.toThrow();
    }
  });

  it('hold as they were when the hub was made', () => {
    const events: Record<string, StandardSchemaV1> = { n: z.number() };
    const { sse } = hub([{ topics: 't', events }]);
    delete events.n;
    expect(() => sse.broadcast('t', 'n', 1)).not.toThrow();
  });
});

describe('EventsOf', () => {
  const editor = new TypeScriptService(`
import { type EventsOf, type SSEConfig, SSEService, topicPattern } from 'nestjs-sse-hub';
import { type } from 'arktype';
import * as v from 'valibot';
import { z } from 'zod';
const schemas = [
  { topics: ['orders', 'returns'], events: { created: z.object({ id: z.number(), note: z.string().default('') }) } },
  { topics: topicPattern('order:*'), events: { updated: v.object({ total: v.number() }), removed: type({ id: 'number' }) } },
  { topics: topicPattern('order:*:lines'), events: { never: z.string() } },
] as const;
const config: SSEConfig = { schemas };
declare const id: number;
`);
  const errorsIn = (code: string): string[] =>
    editor.errorsIn(`declare const sse: SSEService<EventsOf<typeof schemas>>; ${code}`);

  for (const code of [
    "sse.broadcast('orders', 'created', { id, note: 'a' }); sse.broadcast('returns', 'created', { id });",
    "sse.broadcast({ topic: `order:${id}`, event: 'updated', data: { total: 5 } });",
    "void sse.publish('order:7', 'removed', { id });",
    "sse.observe(topicPattern('order:*')).subscribe(({ event, data }) => event === 'updated' && data.total);",
  ]) {
    it(`takes ${code}`, () => expect(errorsIn(code)).toEqual([]));
  }

  for (const [code, message] of [
    [
      "sse.broadcast('ordrs', 'created', { id });",
      '"ordrs"\' is not assignable to parameter of type \'"orders" | "returns" | `order:${string}`',
    ],
    [
      "sse.broadcast('orders', 'creatd', { id });",
      'Argument of type \'"creatd"\' is not assignable to parameter of type \'"created"\'.',
    ],
    ["sse.broadcast('orders', 'created', { id: '7' });", "Type 'string' is not assignable to type 'number'."],
    ["sse.broadcast('order:7', 'updated', { totl: 7 });", "'totl' does not exist in type '{ total: number; }'."],
    [
      "sse.broadcast('order:7:lines', 'never', 'a');",
      'is not assignable to parameter of type \'"updated" | "removed"\'.',
    ],
    [
      "const list = [{ topics: 'a', events: { n: z.any() } }]; declare const s: SSEService<EventsOf<typeof list>>;",
      "does not satisfy the constraint 'readonly [SchemaRule, ...SchemaRule[]]'.",
    ],
    [
      "new SSEService({ schemas: [{ topics: 'a', events: { n: 7 } }] });",
      "is not assignable to type 'StandardSchemaV1",
    ],
  ] as const) {
    it(`refuses ${code}, in one message`, () => {
      expect(errorsIn(code)).toEqual([expect.stringContaining(message)]);
    });
  }

  it('can be what the application has in all', () => {
    const augmented = `declare module 'nestjs-sse-hub' {
      interface SSEEvents extends EventsOf<typeof schemas> { '**': { maintenance: number } }
    }
    declare const injected: SSEService;`;
    expect(editor.errorsIn(`${augmented} injected.broadcast('orders', 'created', { id });`)).toEqual([]);
    expect(editor.errorsIn(`${augmented} injected.broadcastAll('maintenance', 5);`)).toEqual([]);
    expect(editor.errorsIn(`${augmented} injected.broadcast('orders', 'creatd', { id });`)).toHaveLength(1);
  });
});
