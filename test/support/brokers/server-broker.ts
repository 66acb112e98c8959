import { randomUUID } from 'node:crypto';

import type { ServerProcess } from './server-process.js';

/** What a test does to any broker that is one server. */
export abstract class ServerBroker<Server extends ServerProcess> {
  protected readonly prefix = `test-${randomUUID()}`;

  constructor(protected readonly server: Server) {}

  get port(): number {
    return this.server.port;
  }

  start(): Promise<void> {
    return this.server.start();
  }

  kill(): Promise<void> {
    return this.server.kill();
  }

  freeze(): Promise<void> {
    return this.server.freeze();
  }

  thaw(): void {
    this.server.thaw();
  }

  remove(): Promise<void> {
    return this.server.remove();
  }
}
