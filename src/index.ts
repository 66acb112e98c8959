export type {
  ClientOptions,
  OptionsOfClient,
  OptionsOfStream,
  RouteOptions,
  StreamOptions,
} from './sse.client-options.js';
export type { FlushRule, HistoryRule, Serialize, SSEConfig } from './sse.config.js';
export { getSSEToken, InjectSSE, LastEventId } from './sse.decorators.js';
export { EventStream, type EventStreamOptions } from './sse.event-stream.js';
export { SSE_CONFIG, type SSEConfigFactory, type SSEModuleOptions } from './sse.module-definition.js';
export { SSEModule } from './sse.module.js';
export type {
  CancelRunOptions,
  DataOfValue,
  Merge,
  RunOptions,
  RunSource,
  RunWork,
  SSERun,
  SSERunState,
} from './sse.runs.js';
export { SSEService } from './sse.service.js';
export type { EventsOf, SchemaRule } from './sse.schemas.js';
export type { Topics } from './sse.topic-rules.js';
export type {
  AnyEventDataOf,
  AnyEventNameOf,
  ClientEvent,
  EventDataOf,
  EventNameOf,
  ObservedEvent,
  RunEventOf,
  RunValueOf,
  SSEEvents,
  TopicEvent,
  TopicOf,
  TopicsIn,
  TopicsOf,
} from './sse.events.js';

export type { OnGroupLimit, OnLimit } from './hub/admission.js';
export type { StandardIssue, StandardResult, StandardSchemaV1 } from './hub/standard-schema.js';
export type { SSEStats } from './hub/reporting/stats.js';
export { TopicPattern, topicPattern } from './hub/topics/topic-pattern.js';
export type {
  ConnectionChange,
  DisconnectReason,
  Filter,
  GroupOfTopic,
  OnGap,
  ResetReason,
  Resumed,
  SSEClient,
} from './sse.client.js';
export { SSEError, type SSEErrorCode } from './sse.error.js';
export type { FastifyReplyLike, NodeResponseLike } from './transport/raw-response.js';
export type { RequestLike } from './transport/request.js';

export { TERMINAL_CURSOR } from './protocol/cursor.js';
export type { BroadcastOptions, SSEEvent } from './protocol/event.js';
export type { CompressionOptions } from './protocol/gzip.js';

export { BackplaneError } from './backplane/backplane-error.js';
export type { Backplane, LogEntry, LogListener, Patience } from './backplane/backplane.js';
export { MemoryBackplane } from './backplane/memory.backplane.js';
export type { Audience, Audiences, GroupPresence, Presence } from './backplane/presence.js';
export type { Cursor, Position } from './protocol/cursor.js';
export type {
  Entry,
  EventEntry,
  GroupEntry,
  GroupTopicEntry,
  RunDoubtEntry,
  RunEndEntry,
  RunEntry,
  RunOutcome,
  RunSignEntry,
  TopicEntry,
} from './protocol/entry.js';
