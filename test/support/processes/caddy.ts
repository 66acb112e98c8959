import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { ROOT } from '../root.js';
import { findProgram } from './programs.js';
import { ProxyProcess } from './proxy-process.js';

export const CADDY = findProgram(['caddy'], 'apt-get install caddy.');

const PAGE = join(ROOT, 'docs/operations/proxies.md');

/** Caddy in front of one node, as the page has it. `change` makes another configuration of the page's. */
export function startCaddy(node: string, change: (configuration: string) => string): Promise<ProxyProcess> {
  return ProxyProcess.start(CADDY!, async ({ folder, port }) => {
    const page = await readFile(PAGE, 'utf8');
    const site = change(/^```caddyfile\n(.*?)^```$/ms.exec(page)![1]!)
      .replaceAll('node-1:3000', new URL(node).host)
      .replaceAll(/ \S*node-2:3000/g, '')
      .replace(/^:80 \{/m, `:${port} {\nbind 127.0.0.1`);
    const file = join(folder, 'Caddyfile');
    // What it would say of its own accord, and where it would listen for it.
    await writeFile(file, `{\nadmin off\nauto_https off\nlog {\nlevel ERROR\n}\n}\n${site}`);
    return ['run', '--config', file, '--adapter', 'caddyfile'];
  });
}
