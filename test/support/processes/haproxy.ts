import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { until } from '../baseline.js';
import { ROOT } from '../root.js';
import { freePort } from './free-port.js';
import { findProgram } from './programs.js';

const HAPROXY_PROGRAM = findProgram(['haproxy'], 'apt-get install haproxy.');

/** Whether the machine has it. */
export const hasHAProxy = HAPROXY_PROGRAM !== undefined;

const PAGE = join(ROOT, 'docs/operations/proxies.md');

/** HAProxy in front of one node, as `docs/operations/proxies.md` has it. */
export class HAProxy {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string, port: number) {
    this.#child = child;
    this.#folder = folder;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** `change` makes another configuration of the page's. */
  static async start(node: string, change: (configuration: string) => string): Promise<HAProxy> {
    const folder = await mkdtemp(join(tmpdir(), 'haproxy-'));
    const port = await freePort();
    const page = await readFile(PAGE, 'utf8');
    const command = /^printf .* > \/etc\/haproxy\/later\.http$/m.exec(page)![0];
    await promisify(execFile)('sh', ['-c', command.replace('/etc/haproxy', folder)]);
    const configuration = change(/^```haproxy\n(.*?)^```$/ms.exec(page)![1]!)
      .replaceAll('node-1:3000 check', `${new URL(node).host} check inter 100ms`)
      .replaceAll(/^ *server node-2 .*\n/gm, '')
      .replaceAll('/etc/haproxy', folder)
      .replace('maxconn 20000', 'maxconn 100')
      .replace('bind :80', `bind 127.0.0.1:${port}`);
    await writeFile(join(folder, 'haproxy.cfg'), configuration);
    const child = spawn(HAPROXY_PROGRAM!, ['-db', '-q', '-f', join(folder, 'haproxy.cfg')], { stdio: 'ignore' });
    const proxy = new HAProxy(child, folder, port);
    await until('HAProxy answers', () =>
      fetch(proxy.url).then(
        () => true,
        () => false,
      ),
    );
    return proxy;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}
