import { hostname } from 'node:os';

/** What this node is called among the nodes of the same log. */
export const NODE_NAME = `process ${process.pid} on ${hostname()}`;
