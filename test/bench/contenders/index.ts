import { betterSse } from './better-sse.js';
import type { Contender } from './contender.js';
import { fastifySse } from './fastify-sse.js';
import {
  directExpress,
  directFastify,
  gzipExpress,
  gzipFastify,
  pacedExpress,
  pacedFastify,
  pacedStream,
  streamExpress,
  streamFastify,
} from './hub.js';
import { nchan } from './nchan.js';
import { subjectExpress, subjectFastify } from './nest-subject.js';
import { nodeHttp } from './node-http.js';
import { socketWrite } from './socket-write.js';

/** In the order of the tables. */
export const contenders = {
  nodeHttp,
  socketWrite,
  directExpress,
  directFastify,
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
