import { randomUUID } from 'node:crypto';

import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { All, Controller, Headers, NotFoundException, type OnModuleDestroy, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { SSEService } from 'nestjs-sse-hub';

import { HubEventStore } from './hub-event-store.js';
import { createOrdersServer } from './orders-server.js';

@Controller('mcp')
export class McpController implements OnModuleDestroy {
  readonly #sessions = new Map<string, StreamableHTTPServerTransport>();

  constructor(private readonly sse: SSEService) {}

  @All()
  async handle(@Req() request: Request, @Res() response: Response, @Headers('mcp-session-id') session?: string) {
    const transport = session === undefined ? await this.#open() : this.#sessions.get(session);
    if (!transport) throw new NotFoundException(); // the agent begins a new session
    await transport.handleRequest(request, response, request.body);
  }

  async #open() {
    const id = randomUUID();
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => id,
      onsessioninitialized: () => void this.#sessions.set(id, transport),
      eventStore: new HubEventStore(this.sse, `mcp:${id}`),
    });
    transport.onclose = () => this.#sessions.delete(id);
    await createOrdersServer(this.sse).connect(transport);
    return transport;
  }

  // Nest would wait for their streams.
  async onModuleDestroy() {
    for (const transport of this.#sessions.values()) await transport.close();
  }
}
