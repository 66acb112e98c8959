import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js';
import {
  ErrorCode,
  McpError,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import type { SSEService } from 'nestjs-sse-hub';
import type { Subscription } from 'rxjs';

import { orders } from './orders.js';

/** The server of one session. */
export function createOrdersServer(sse: SSEService): McpServer {
  const mcp = new McpServer({ name: 'orders', version: '1.0.0' });
  mcp.registerResource('order', new ResourceTemplate('order://{id}', { list: undefined }), {}, async (uri, { id }) => ({
    contents: [{ uri: uri.href, text: JSON.stringify(await orders.find(String(id))) }],
  }));

  const { server } = mcp;
  const followed = new Map<string, Subscription>();
  const unfollow = (uri: string) => followed.get(uri)?.unsubscribe();
  server.registerCapabilities({ resources: { subscribe: true } });
  server.setRequestHandler(SubscribeRequestSchema, ({ params: { uri } }) => {
    const events = sse.observe(topicOf(uri)).subscribe(() => {
      server.sendResourceUpdated({ uri }).catch(() => {}); // the session is over
    });
    unfollow(uri);
    followed.set(uri, events);
    return {};
  });
  server.setRequestHandler(UnsubscribeRequestSchema, ({ params: { uri } }) => {
    unfollow(uri);
    return {};
  });
  server.onclose = () => {
    for (const uri of followed.keys()) unfollow(uri);
  };
  return mcp;
}

function topicOf(uri: string): string {
  const [, id] = /^order:\/\/(\d+)$/.exec(uri) ?? [];
  if (id === undefined) throw new McpError(ErrorCode.InvalidParams, 'There is no such resource.');
  return `order:${id}`;
}
