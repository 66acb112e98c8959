import type { TopicPattern } from './hub/topics/topic-pattern.js';
import type { SSEEvent } from './protocol/event.js';

/**
 * Which events an application has: for each topic the names of its events, and their data. It is empty, and then anything
 * goes, until an application says what it has; every `SSEService` that is injected checks that. A wildcard is a template
 * literal. Events without a name are called `message`. Under `'**'` stand those that are for everybody or for one client:
 * `broadcastAll()`, `sendEvent()`, `sendTo()`, `initial`.
 *
 * @example
 * declare module 'nestjs-sse-hub' {
 *   interface SSEEvents {
 *     orders: { created: Order; removed: { id: number } };
 *     [order: `order:${string}`]: { updated: Order };
 *     '**': { maintenance: { minutes: number } };
 *   }
 * }
 */
// oxlint-disable-next-line typescript/no-empty-interface, typescript/no-empty-object-type -- Applications fill it.
export interface SSEEvents {}

type IsUntyped<Events> = [keyof Events] extends [never] ? true : false;
type Keys<Events> = Extract<keyof Events, string>;

/** The topics there are: any, until an application says which. */
export type TopicOf<Events> = IsUntyped<Events> extends true ? string : Exclude<Keys<Events>, '**'>;

/** What a stream or an observer may follow: topics there are, and patterns. */
export type TopicsOf<Events> = TopicOf<Events> | TopicPattern | readonly (TopicOf<Events> | TopicPattern)[];

/** The topics that somebody follows who follows that. */
export type TopicsIn<Followed> = Followed extends string
  ? Followed
  : Followed extends TopicPattern<infer Topic>
    ? Topic
    : Followed extends readonly (infer One)[]
      ? TopicsIn<One>
      : never;

type EventsOn<Events, Topic> = Topic extends keyof Events ? Events[Topic] : never;

/** The names of a topic's events. */
export type EventNameOf<Events, Topic> =
  IsUntyped<Events> extends true
    ? string
    : Topic extends string
      ? Extract<keyof EventsOn<Events, Topic>, string>
      : never;

/** The data of an event. */
export type EventDataOf<Events, Topic, Name> =
  IsUntyped<Events> extends true
    ? unknown
    : Name extends keyof EventsOn<Events, Topic>
      ? EventsOn<Events, Topic>[Name]
      : never;

/** The names of all events, whatever their topics. */
export type AnyEventNameOf<Events> = IsUntyped<Events> extends true ? string : EventNameOf<Events, Keys<Events>>;

/** The data of an event, whatever its topic. */
export type AnyEventDataOf<Events, Name> =
  IsUntyped<Events> extends true
    ? unknown
    : { [Topic in Keys<Events>]: Name extends keyof Events[Topic] ? Events[Topic][Name] : never }[Keys<Events>];

type Named<Name, Data> = Omit<SSEEvent, 'event' | 'data' | 'topic'> & { data: Data } & (Name extends 'message'
    ? { event?: Name }
    : { event: Name });

type NamedOn<Events, Topic> = Topic extends string
  ? {
      [Name in EventNameOf<Events, Topic>]: Named<Name, EventDataOf<Events, Topic, Name>> & { topic: Topic };
    }[EventNameOf<Events, Topic>]
  : never;

/** An event on one of the topics there are. */
export type TopicEvent<Events> =
  IsUntyped<Events> extends true
    ? SSEEvent & { topic: string }
    : { [Topic in TopicOf<Events>]: NamedOn<Events, Topic> }[TopicOf<Events>];

/** What a run may give: the data of events with this name; without one, whole events, or the data of those without a name. */
export type RunValueOf<Events, Topic, Name = never> =
  IsUntyped<Events> extends true
    ? unknown
    : [Name] extends [never]
      ? EventDataOf<Events, Topic, 'message'> | RunEventOf<Events, Topic>
      : EventDataOf<Events, Topic, Name>;

/** An event of a run: its topic is the run's. */
export type RunEventOf<Events, Topic> =
  IsUntyped<Events> extends true
    ? SSEEvent
    : { [Name in EventNameOf<Events, Topic>]: Named<Name, EventDataOf<Events, Topic, Name>> }[EventNameOf<
        Events,
        Topic
      >];

/** An event for one client, whatever its topic. */
export type ClientEvent<Events> =
  IsUntyped<Events> extends true
    ? SSEEvent
    : {
        [Name in AnyEventNameOf<Events>]: Named<Name, AnyEventDataOf<Events, Name>> & { topic?: string };
      }[AnyEventNameOf<Events>];

/** What `observe()` gives of these topics: of any, where a pattern stands for more than one of those there are. */
export type ObservedEvent<Events, Topic> =
  IsUntyped<Events> extends true
    ? SSEEvent
    : [Topic] extends [TopicOf<Events>]
      ? NamedOn<Events, Topic>
      : TopicEvent<Events>;
