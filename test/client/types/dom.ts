// What is written for the browser's own `EventSource` is right with this one.
import { EventSource as OwnEventSource } from 'nestjs-sse-hub/client';

const Source: typeof EventSource = OwnEventSource;

export function follow(): EventSource {
  const source: EventSource = new OwnEventSource('https://shop.example/events', { withCredentials: true });
  source.addEventListener('created', (event: MessageEvent<string>) => event.data);
  return source.readyState === Source.OPEN ? source : new Source(source.url);
}

const own = new OwnEventSource('https://shop.example/events', { fetch });
const listener = (event: MessageEvent<string>): void => void event.data;
own.addEventListener('created', listener);
own.removeEventListener('created', listener);
own.onmessage = ({ data, lastEventId }: MessageEvent<string>) => [data, lastEventId];
own.onerror = (event) => event.type;
own.onopen = (event: Event) => event.type;
