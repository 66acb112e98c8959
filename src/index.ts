export { SSEModule } from './sse.module.js';
export { SSE_CONFIG, type SSEConfigFactory, type SSEModuleOptions } from './sse.module-definition.js';
export { type AnyEvents, SSEService } from './sse.service.js';
export type { HistoryRule, SSEConfig, Topics } from './sse.config.js';
export type { ClientOptions, RequestLike, StreamOptions } from './sse.client-options.js';
export { LastEventId } from './sse.decorators.js';

export { SSEError, type SSEErrorCode } from './sse.error.js';
export { TopicPattern, topicPattern } from './hub/topics/topic-pattern.js';
export type { DisconnectReason, SSEClient } from './hub/clients/client-settings.js';
export type { ResetReason, Resumed } from './hub/clients/control-frames.js';
export type { ConnectionChange } from './hub/hub.js';
export type { Filter } from './hub/clients/reader.js';
export type { OnGap } from './hub/clients/start.js';
export type { SSEStats } from './hub/reporting/stats.js';
export type { OnGroupLimit, OnLimit } from './hub/admission.js';
export type { FastifyReplyLike, NodeResponseLike } from './transport/node-response.js';

export type { BroadcastOptions, SSEEvent } from './protocol/event.js';
export { TERMINAL_CURSOR } from './protocol/cursor.js';

export type {
  Backplane,
  Entry,
  EventEntry,
  GroupEntry,
  GroupTopicEntry,
  LogEntry,
  LogReader,
  Patience,
  TopicEntry,
} from './backplane/backplane.js';
export type { Audience, Audiences, Presence } from './backplane/presence.js';
export { BackplaneError } from './backplane/backplane-error.js';
export { MemoryBackplane } from './backplane/memory.backplane.js';
export type { Cursor, Position } from './protocol/cursor.js';
