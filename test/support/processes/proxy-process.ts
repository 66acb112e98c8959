import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { until } from '../baseline.js';
import { freePort } from './free-port.js';

/** Where a proxy has its files, and where it is to listen. */
export interface ProxyPlace {
  readonly folder: string;
  readonly port: number;
}

/** A proxy in front of one node, for as long as a test runs. */
export class ProxyProcess {
  readonly url: string;

  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    port: number,
  ) {
    this.url = `http://127.0.0.1:${port}`;
  }

  /** `prepare` writes its files, and answers with its arguments. */
  static async start(program: string, prepare: (place: ProxyPlace) => Promise<string[]>): Promise<ProxyProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'proxy-'));
    const port = await freePort();
    const child = spawn(program, await prepare({ folder, port }), {
      stdio: ['ignore', 'ignore', 'pipe'],
      // Some keep what they learn in the home directory.
      env: { ...process.env, HOME: folder },
    });
    let said = '';
    let isOver = false;
    child.once('close', () => (isOver = true));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    const proxy = new ProxyProcess(child, folder, port);
    await until(`${program} answers`, () => {
      if (isOver) throw new Error(`${program} ended at its start: ${said}`);
      return fetch(proxy.url).then(
        () => true,
        () => false,
      );
    });
    return proxy;
  }

  async close(): Promise<void> {
    if (this.child.exitCode === null) {
      this.child.kill('SIGKILL');
      await once(this.child, 'exit');
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}
