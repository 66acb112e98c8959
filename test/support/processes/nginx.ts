import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { until } from '../baseline.js';
import { ROOT } from '../root.js';
import { freePort } from './free-port.js';
import { findProgram } from './programs.js';

export const NGINX = findProgram(['nginx'], 'apt-get install nginx.');

/** nginx in front of one node, as `sample-app/nginx.conf` has it. */
export class Nginx {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string, port: number) {
    this.#child = child;
    this.#folder = folder;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** `change` makes another configuration of the sample's. */
  static async start(node: string, change: (configuration: string) => string): Promise<Nginx> {
    const folder = await mkdtemp(join(tmpdir(), 'nginx-'));
    const port = await freePort();
    const sample = await readFile(join(ROOT, 'sample-app/nginx.conf'), 'utf8');
    const site = change(sample)
      .replace('node-1:3000', new URL(node).host)
      .replace('  server node-2:3000;\n', '')
      .replace('listen 80;', `listen 127.0.0.1:${port};`);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${folder}/${name};`)
      .join('\n');
    const configuration = `
      daemon off; master_process off; pid ${folder}/pid; error_log stderr crit;
      events {}
      http { access_log off; ${temporary} ${site} }`;
    await writeFile(join(folder, 'nginx.conf'), configuration);
    const child = spawn(NGINX!, ['-p', folder, '-c', join(folder, 'nginx.conf')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const nginx = new Nginx(child, folder, port);
    await until('nginx answers', () =>
      fetch(nginx.url).then(
        () => true,
        () => false,
      ),
    );
    return nginx;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}
