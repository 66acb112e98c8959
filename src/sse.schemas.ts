import { EventSchemas } from './hub/event-schemas.js';
import type { StandardProps, StandardSchemaV1 } from './hub/standard-schema.js';
import { eventFault } from './protocol/event.js';
import { invalid } from './sse.error.js';
import type { TopicsIn } from './sse.events.js';
import { compileRules, type Topics } from './sse.topic-rules.js';

/** Which events may be published on some topics, and what their data are. */
export interface SchemaRule {
  readonly topics: Topics;
  /** A schema for each name; `message` for events without one. */
  readonly events: Readonly<Record<string, StandardSchemaV1>>;
}

interface SchemaOptions {
  readonly schemas?: readonly SchemaRule[] | undefined;
  readonly validate?: boolean | undefined;
  readonly deserialize: (text: string) => unknown;
  readonly topicDelimiter: string;
}

/** `undefined` where nothing is to be checked. What is given is looked at all the same: `validate` may differ by stage. */
export function resolveSchemas(options: SchemaOptions): EventSchemas | undefined {
  const { schemas = [], validate = true, deserialize, topicDelimiter } = options;
  const rules = compileRules('schemas', schemas, ['topics', 'events'], topicDelimiter).map(
    ({ rule, option, matches }) => ({ matches, events: schemasOf(rule.events, `${option}.events`) }),
  );
  if (options.validate && rules.length === 0) {
    throw invalid('validate', true, 'false, or left out, where `schemas` has none: nothing would be checked');
  }
  return validate && rules.length > 0 ? new EventSchemas(rules, deserialize) : undefined;
}

function schemasOf(events: SchemaRule['events'], option: string): Map<string, StandardProps> {
  if (typeof events !== 'object' || events === null) throw invalid(option, events, 'an object: a schema for each name');
  return new Map(Object.entries(events).map(([name, schema]) => [name, propsOf(name, schema, option)]));
}

function propsOf(name: string, schema: unknown, option: string): StandardProps {
  const fault = eventFault({ event: name });
  if (fault) throw invalid(option, name, `the name of an event (${fault})`);
  // ArkType's are functions.
  const props = (schema as Partial<StandardSchemaV1> | null | undefined)?.['~standard'];
  if (props?.version === 1 && typeof props.validate === 'function') return props;
  throw invalid(
    `${option}.${name}`,
    schema,
    'a Standard Schema, as Zod 3.24, Valibot 1, ArkType 2 and newer make them',
  );
}

/** What a schema takes: it is what leaves, since nothing that a schema makes of it is published. */
type DataOf<Schema> = Schema extends StandardSchemaV1 ? NonNullable<Schema['~standard']['types']>['input'] : never;

/** The rule that counts for a topic, as it is found when an event is published. */
type RuleFor<Rules extends readonly SchemaRule[], Topic> = Rules extends readonly [
  infer First extends SchemaRule,
  ...infer Others extends readonly SchemaRule[],
]
  ? Topic extends TopicsIn<First['topics']>
    ? First
    : RuleFor<Others, Topic>
  : never;

/**
 * The events that schemas have, for typed topics: the schemas are written once, and the types follow. The list has to be
 * `as const`.
 *
 * @example
 * const schemas = [
 *   { topics: 'orders', events: { created: z.object({ id: z.number(), total: z.number() }) } },
 *   { topics: topicPattern('order:*'), events: { removed: z.object({ id: z.number() }) } },
 * ] as const;
 * const typed: SSEService<EventsOf<typeof schemas>> = new SSEService({ schemas });
 * typed.broadcast('order:7', 'removed', { id: 7 });
 */
export type EventsOf<Rules extends readonly [SchemaRule, ...SchemaRule[]]> = {
  [Topic in TopicsIn<Rules[number]['topics']>]: {
    -readonly [Name in keyof RuleFor<Rules, Topic>['events']]: DataOf<RuleFor<Rules, Topic>['events'][Name]>;
  };
};
