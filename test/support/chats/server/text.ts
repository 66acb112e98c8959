/**
 * What a language model would say, without one: the same tokens for the same id, wherever they are asked for. The id says
 * how many there are and how fast they come: `<any name>.<count>.<milliseconds>`.
 */
export interface Answer {
  readonly id: string;
  readonly tokens: readonly string[];
  /** Milliseconds between two of them. */
  readonly pace: number;
}

/** Among them what could end a line, a block, a stream or a string of JSON. */
const TOKENS = [
  ...['The', ' answer', ' is', ' forty', '-two', ',', ' or', ' so', ' it', ' seems', '. ', '"quoted"', " it's"],
  ...[
    '\n',
    '\n\n',
    '\r',
    '\r\n',
    '\t',
    ' ',
    '\\',
    '\\n',
    '\u2028',
    '\u0000',
    '\uFEFF',
    'é',
    'e\u0301',
    '🙂',
    '👩‍👩‍👧',
    '日本語',
  ],
  ...['data: x', 'id: 7', 'event: end', ': comment', 'retry: 1', '[DONE]', '{"type":"finish"}', '\n\ndata: [DONE]\n\n'],
];

export function answerOf(id: string): Answer {
  const [count, pace] = id.split('.').slice(-2).map(Number) as [number, number];
  let state = 0;
  for (const character of id) state = (Math.imul(state, 31) + character.codePointAt(0)!) >>> 0;
  const tokens = Array.from({ length: count }, (_, n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    // The number makes each of them one of a kind: what is missing, doubled or misplaced shows.
    return `${TOKENS[(state >>> 16) % TOKENS.length]!}<${n}>`;
  });
  return { id, tokens, pace };
}

/** In the words of the AI SDK's UI message stream. */
export function chunksOf({ id, tokens }: Answer): readonly Chunk[] {
  return [
    { type: 'start', messageId: id },
    { type: 'text-start', id: 'text' },
    ...tokens.map((delta) => ({ type: 'text-delta' as const, id: 'text', delta })),
    { type: 'text-end', id: 'text' },
    { type: 'finish', finishReason: 'stop' },
  ];
}

export type Chunk =
  | { readonly type: 'start'; readonly messageId: string }
  | { readonly type: 'text-start' | 'text-end'; readonly id: string }
  | { readonly type: 'text-delta'; readonly id: string; readonly delta: string }
  | { readonly type: 'finish'; readonly finishReason: 'stop' };

export interface AgentEvent {
  readonly type: string;
  readonly messageId?: string;
  readonly delta?: string;
  readonly role?: 'assistant';
  readonly threadId?: string;
  readonly runId?: string;
}

/** In the words of AG-UI. */
export function agentEventsOf({ id, tokens }: Answer, threadId: string): readonly AgentEvent[] {
  const messageId = `message of ${id}`;
  return [
    { type: 'RUN_STARTED', threadId, runId: id },
    { type: 'TEXT_MESSAGE_START', messageId, role: 'assistant' as const },
    ...tokens.map((delta) => ({ type: 'TEXT_MESSAGE_CONTENT', messageId, delta })),
    { type: 'TEXT_MESSAGE_END', messageId },
    { type: 'RUN_FINISHED', threadId, runId: id },
  ];
}
