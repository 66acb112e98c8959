export { EventSource } from './event-source.js';
export type { ControlEvents, DataOf, EventSourceError, EventSourceEventMap, NameOf, StreamEvent } from './events.js';
export type { EventSourceOptions, FetchInit, FetchResponse, Fresh } from './options.js';
