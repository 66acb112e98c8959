import { betterSse } from './better-sse.js';
import type { Contender } from './contender.js';
import { fastifySse } from './fastify-sse.js';
import {
  directExpress,
  directFastify,
  directHttp2,
  eventStreamExpress,
  eventStreamFastify,
  gzipExpress,
  gzipFastify,
  pacedExpress,
  pacedFastify,
  pacedStream,
  streamExpress,
  streamFastify,
  webExpress,
  webFastify,
} from './hub.js';
import { nchan } from './nchan.js';
import { subjectExpress, subjectFastify } from './nest-subject.js';
import { nodeHttp } from './node-http.js';
import { nodeHttp2 } from './node-http2.js';
import { socketWrite } from './socket-write.js';

/** In the order of the tables. */
export const contenders = {
  nodeHttp,
  nodeHttp2,
  socketWrite,
  directExpress,
  directFastify,
  eventStreamExpress,
  eventStreamFastify,
  webExpress,
  webFastify,
  directHttp2,
  gzipExpress,
  gzipFastify,
  pacedExpress,
  pacedFastify,
  streamExpress,
  streamFastify,
  pacedStream,
  subjectExpress,
  subjectFastify,
  betterSse,
  fastifySse,
  nchan,
} satisfies Record<string, Contender>;

export type ContenderName = keyof typeof contenders;

export function contenderOf(name: ContenderName): Contender {
  return contenders[name];
}
