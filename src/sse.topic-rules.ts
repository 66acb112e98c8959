import { compilePattern, TopicPattern } from './hub/topics/topic-pattern.js';
import { topicFault } from './protocol/event.js';
import { invalid } from './sse.error.js';

/** One topic, a pattern of topics, or several of both. */
export type Topics = string | TopicPattern | readonly (string | TopicPattern)[];

interface Compiled {
  readonly matches: (topic: string) => boolean;
}

interface CompiledRule<Rule> extends Compiled {
  readonly rule: Rule;
  /** As errors name it: `history[0]`. */
  readonly option: string;
}

/** What an option says of some topics, in its order. Throws `INVALID_CONFIG` for what is no object with these fields. */
export function compileRules<Rule extends { readonly topics: Topics }>(
  name: string,
  rules: readonly Rule[] = [],
  fields: readonly string[],
  delimiter: string,
): CompiledRule<Rule>[] {
  return rules.map((rule, i) => {
    const option = `${name}[${i}]`;
    assertFields(option, rule, fields);
    return { rule, option, matches: matcherOf(rule.topics, `${option}.topics`, delimiter) };
  });
}

/** The first that matches. */
export function ruleFor<Rule extends Compiled>(topic: string | undefined, rules: readonly Rule[]): Rule | undefined {
  return rules.find(({ matches }) => topic !== undefined && matches(topic));
}

function assertFields(option: string, rule: object, fields: readonly string[]): void {
  const isRule = typeof rule === 'object' && rule !== null;
  if (!isRule) throw invalid(option, rule, `an object: { ${fields.join(', ')} }`);
  const stranger = Object.entries(rule).find(([name]) => !fields.includes(name));
  if (stranger) throw invalid(`${option}.${stranger[0]}`, stranger[1], `one of ${fields.join(', ')}`);
}

function matcherOf(topics: Topics, option: string, delimiter: string): (topic: string) => boolean {
  const matchers = listOf(topics).map((topic) => {
    if (topic instanceof TopicPattern) return compilePattern(topic, delimiter);
    const fault = topicFault(topic);
    if (fault) throw invalid(option, topic, `a topic (${fault})`);
    return (other: string): boolean => other === topic;
  });
  return (topic) => matchers.some((test) => test(topic));
}

export function listOf(topics: Topics): readonly (string | TopicPattern)[] {
  // Whatever it is, because topics come from URLs too: each one is checked where it is used.
  return [topics].flat();
}
