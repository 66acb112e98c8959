import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';

import { type Broker, givenUrl } from './broker.js';
import { persistent, startServer } from './own-server.js';

/** NATS with JetStream, which stores in files, unless there is one already. */
export async function startNats(prefix: string): Promise<Broker> {
  const given = givenUrl('nats');
  const server = given === undefined ? await startServer('nats-server', argumentsOf) : undefined;
  const url = given ?? `nats://127.0.0.1:${server!.port}`;
  const version = await persistent(() => run(url, async (nc) => versionOf(nc)));
  return {
    url,
    version,
    pid: server?.pid,
    close: async () => {
      if (server) return server.close();
      await run(url, (nc) => forget(nc, prefix));
    },
  };
}

function argumentsOf(port: number, folder: string): string[] {
  const config = join(folder, 'nats.conf');
  writeFileSync(config, `listen: "127.0.0.1:${port}"\njetstream: { store_dir: "${join(folder, 'data')}" }\n`);
  return ['-c', config];
}

async function run<T>(url: string, act: (nc: NatsConnection) => Promise<T>): Promise<T> {
  const nc = await connect({ servers: url, reconnect: false, timeout: 2_000 });
  try {
    return await act(nc);
  } finally {
    await nc.close();
  }
}

/** Asks JetStream too, which is there a little later than the server. */
async function versionOf(nc: NatsConnection): Promise<string> {
  await (await jetstreamManager(nc, { checkAPI: false })).getAccountInfo();
  return nc.info?.version ?? 'of an unknown version';
}

async function forget(nc: NatsConnection, prefix: string): Promise<void> {
  const { streams } = await jetstreamManager(nc, { checkAPI: false });
  for await (const name of streams.names()) if (name.startsWith(prefix)) await streams.delete(name);
}
