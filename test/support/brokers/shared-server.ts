import { isInstalled, type ServerProcess } from './server-process.js';

/** A server for tests that leave it as it is. */
export interface SharedServer {
  readonly url: string;
  stop(): Promise<void>;
}

export interface SharedBroker extends SharedServer {
  /** Deletes what a backplane with this prefix has stored. */
  forget(prefix: string): Promise<void>;
}

export interface WantedServer {
  readonly broker: string;
  /** Of the environment: where one is. */
  readonly variable: string;
  readonly command: string;
  readonly version: string;
  start(): Promise<ServerProcess>;
}

/**
 * The one whose URL is in the environment, or one that is started. `undefined` where there is none, which is only put up
 * with outside CI.
 */
export async function findServer(wanted: WantedServer): Promise<SharedServer | undefined> {
  const { broker, variable, command, version } = wanted;
  const url = process.env[variable];
  if (url !== undefined && url !== '') return { url, stop: () => Promise.resolve() };
  if (await isInstalled(command)) {
    const server = await wanted.start();
    return { url: server.url, stop: () => server.remove() };
  }
  const advice = `install ${command} ${version} or later (apt-get install ${command}), or set ${variable}`;
  reportMissing(`${broker} is not tested: ${advice}.`);
  return undefined;
}

/** In CI nothing may be missing. */
export function reportMissing(advice: string): void {
  if (process.env['CI'] === 'true') throw new Error(advice);
  process.stderr.write(`${advice}\n`);
}
