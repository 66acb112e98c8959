import { randomUUID } from 'node:crypto';

import type { EventStore } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import type { SSEEvent, SSEService } from 'nestjs-sse-hub';
import { defer, filter, firstValueFrom, ignoreElements, merge } from 'rxjs';

/** What one session was sent, in a topic of its own. */
export class HubEventStore implements EventStore {
  constructor(
    private readonly sse: SSEService,
    private readonly topic: string,
  ) {}

  /** Resolves when this node has read the event: from then on it can be replayed here. */
  async storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    const id = randomUUID();
    const event = { topic: this.topic, id, data: message, metadata: { streamId } };
    const read = this.sse.observe<JSONRPCMessage>(this.topic).pipe(filter((seen) => seen.id === id));
    const publish = defer(() => this.sse.publish(event)).pipe(ignoreElements());
    await firstValueFrom(merge(read, publish));
    return id;
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (eventId: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const events: SSEEvent<JSONRPCMessage>[] = [];
    const reading = this.sse.observe<JSONRPCMessage>(this.topic, { since: 0 }).subscribe((event) => events.push(event));
    try {
      const last = events.findIndex(({ id }) => id === lastEventId);
      if (last < 0) throw new Error('What followed this event is no longer retained.');
      const streamId = streamOf(events[last]!);
      // The list may grow while it is sent.
      for (let at = last + 1; at < events.length; at++) {
        const event = events[at]!;
        if (streamOf(event) === streamId) await send(event.id!, event.data);
      }
      return streamId;
    } finally {
      reading.unsubscribe();
    }
  }
}

function streamOf({ metadata }: SSEEvent): string {
  return String(metadata?.['streamId']);
}
