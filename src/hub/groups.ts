import type { GroupEntry, GroupTopicEntry } from '../protocol/entry.js';
import { SSEError } from '../sse.error.js';
import type { Client } from './clients/client.js';
import type { Hub } from './hub.js';
import { TopicPattern } from './topics/topic-pattern.js';

/** What an entry asks of the clients of a group. */
export type GroupAct = GroupEntry | GroupTopicEntry;

/** Carries it out on those that were open when the log got the entry, in its turn: what was published before leaves first. */
export function actOnGroup(hub: Hub, members: readonly Client[], act: GroupAct): void {
  switch (act.kind) {
    case 'removeGroup':
      for (const { id } of members) hub.remove(id, act.reconnect);
      break;
    case 'subscribeGroup':
      subscribeAll(hub, members, act);
      break;
    case 'unsubscribeGroup':
      for (const client of members) unsubscribeOne(hub, client, act);
      break;
  }
}

function nameOf({ topic, pattern }: GroupTopicEntry): string | TopicPattern {
  return pattern ? new TopicPattern(topic) : topic;
}

// Nobody waits for the outcome: a client that follows too much already is left as it is.
function subscribeAll(hub: Hub, members: readonly Client[], act: GroupTopicEntry): void {
  let refused = 0;
  let reason: unknown;
  for (const client of members) {
    // Its own filter for the topic stays.
    if (client.topics.has(act.topic)) continue;
    try {
      hub.subscribe(client.id, nameOf(act), undefined);
      client.countFromHere(act.topic);
    } catch (error) {
      if (!(error instanceof SSEError)) throw error;
      refused++;
      reason = error;
    }
  }
  if (refused > 0) hub.reporter.groupNotSubscribed(act.group, act.topic, refused, reason);
}

function unsubscribeOne(hub: Hub, client: Client, act: GroupTopicEntry): void {
  client.pump();
  hub.unsubscribe(client.id, nameOf(act));
}
