import type { OutgoingHttpHeaders, OutgoingMessage } from 'node:http';

/** The headers that an application gives a stream. */
export type OwnHeaders = readonly (readonly [name: string, value: string | readonly string[]])[];

/** How long a stream is nobody knows, and Node says how it is sent: bytes past a wrong length would be the next response. */
const NOT_FOR_STREAMS = new Set(['content-length', 'transfer-encoding']);

/** Leaves out those that have no value, and those that a stream cannot have. */
export function ownHeaders(headers: OutgoingHttpHeaders): OwnHeaders {
  return Object.entries(headers).flatMap(([name, value]) => {
    if (value === undefined || NOT_FOR_STREAMS.has(name.toLowerCase())) return [];
    return [[name, Array.isArray(value) ? value : String(value)] as const];
  });
}

/** Puts a header on a response. CORS has its own reason to vary, and a session its cookie, which must stay. */
export function putHeader(response: OutgoingMessage, name: string, value: string | readonly string[]): void {
  const together = (): string[] => [response.getHeader(name) ?? [], value].flat().map(String);
  switch (name.toLowerCase()) {
    case 'vary':
      response.setHeader(name, together().join(', '));
      break;
    case 'set-cookie':
      response.setHeader(name, together());
      break;
    default:
      response.setHeader(name, value);
  }
}
