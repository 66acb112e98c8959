import type { EventEntry } from '../protocol/entry.js';
import { oneLine, show, UNNAMED } from '../protocol/event.js';
import { SSEError } from '../sse.error.js';
import { readBack, takeIn } from './callbacks.js';
import type { StandardIssue, StandardProps } from './standard-schema.js';

/** What may be published on some topics. */
export interface TopicSchemas {
  readonly matches: (topic: string) => boolean;
  /** By the event's name. */
  readonly events: ReadonlyMap<string, StandardProps>;
}

const MAX_ISSUES = 5;
const MAX_MESSAGE = 160;

/**
 * Checks the data of an event against its topic's schemas.
 *
 * What is checked is the serialised form, read back as filters and observers get it. Read a second time, the value that was
 * given might be another one (a getter, a proxy), and it often is not what leaves: `toJSON()` leaves things out, a Date
 * becomes a string, a Map `{}`. And what a schema does to the copy, it does to nothing else.
 */
export class EventSchemas {
  constructor(
    /** The first that matches counts. */
    private readonly rules: readonly TopicSchemas[],
    private readonly deserialize: (text: string) => unknown,
  ) {}

  /**
   * Throws `INVALID_EVENT`. `onRejected` is told why a promise was rejected that a schema has answered: nobody waits for it.
   */
  assert(topic: string, entry: EventEntry, onRejected: (error: unknown) => void): void {
    const rule = this.rules.find(({ matches }) => matches(topic));
    if (!rule) return;
    const name = entry.event ?? UNNAMED;
    const schema = rule.events.get(name);
    if (!schema) throw unknownName(name, topic, rule);
    const issues = issuesOf(schema, this.#dataOf(entry), schemaOf(name, topic), onRejected);
    if (issues === undefined) return;
    // As the cause: messages of some libraries quote values, which may be in the application's logs and not in an answer.
    throw new SSEError('INVALID_EVENT', `data: it does not match ${schemaOf(name, topic)}.`, {
      cause: new TypeError(issues),
    });
  }

  #dataOf(entry: EventEntry): unknown {
    if (entry.text) return entry.data;
    try {
      return readBack(this.deserialize, entry.data);
    } catch (cause) {
      throw new SSEError('INVALID_EVENT', 'data: deserialize() cannot read what serialize() made of it.', { cause });
    }
  }
}

function schemaOf(name: string, topic: string): string {
  return `the schema of ${show(name)} on ${show(topic)}`;
}

function unknownName(name: string, topic: string, { events }: TopicSchemas): SSEError {
  const known = [...events.keys()].map(show).join(', ');
  const allowed = known === '' ? 'none' : oneLine(known, MAX_MESSAGE);
  return new SSEError(
    'INVALID_EVENT',
    `event: ${show(name)} has no schema on ${show(topic)}, where these have one: ${allowed}.`,
  );
}

/** What is wrong with the data, as text; `undefined` where nothing is. */
function issuesOf(
  schema: StandardProps,
  data: unknown,
  name: string,
  onRejected: (error: unknown) => void,
): string | undefined {
  let result: unknown;
  try {
    result = schema.validate(data);
    if (isResult(result)) return result.issues ? textOf(result.issues) : undefined;
  } catch (cause) {
    throw new SSEError('INVALID_EVENT', `data: ${name} failed.`, { cause });
  }
  // Zod's answer to a check that throws is a promise, too.
  const answered = takeIn(result, onRejected)
    ? 'a promise. It has to answer at once: leave out what is asynchronous, or check that before you publish. If it has ' +
      'thrown, the log says what'
    : `${show(result)}, which is no result of a Standard Schema`;
  throw new SSEError('INVALID_EVENT', `data: ${name} answered ${answered}.`);
}

interface Result {
  readonly issues?: readonly StandardIssue[] | undefined;
}

function isResult(answer: unknown): answer is Result {
  return typeof answer === 'object' && answer !== null && ('issues' in answer || 'value' in answer);
}

function textOf(issues: readonly StandardIssue[]): string {
  const shown = issues.slice(0, MAX_ISSUES).map(issueText);
  const others = issues.length - shown.length;
  return `${shown.join('; ')}${others > 0 ? `; and ${others} more` : ''}.`;
}

function issueText({ path = [], message }: StandardIssue): string {
  const place = oneLine(path.map(stepText).join('').replace(/^\./, ''));
  const text = oneLine(message, MAX_MESSAGE).replace(/\.$/, '');
  // ArkType says the place itself.
  return place === '' || text.startsWith(place) ? text : `${place}: ${text}`;
}

function stepText(step: PropertyKey | { readonly key: PropertyKey }): string {
  const key = typeof step === 'object' ? step.key : step;
  if (typeof key === 'string' && /^[\w$]+$/.test(key)) return `.${key}`;
  return `[${typeof key === 'string' ? JSON.stringify(key) : String(key)}]`;
}
