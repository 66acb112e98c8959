import type { SSEClient } from '../../sse.client.js';
import type { ClientSettings } from './client-settings.js';

/** A client whose request was answered without a stream: it is gone from the start. */
export class TurnedAway implements SSEClient {
  readonly id: string;
  readonly connected = false;
  readonly topics: ReadonlySet<string> = new Set();
  readonly metadata: Record<string, unknown>;
  readonly connectedAt = new Date().toISOString();
  readonly group?: string;

  constructor({ id, group, metadata = {} }: ClientSettings) {
    this.id = id;
    this.metadata = metadata;
    if (group !== undefined) this.group = group;
  }
}
