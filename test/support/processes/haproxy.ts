import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ROOT } from '../root.js';
import { findProgram } from './programs.js';
import { ProxyProcess } from './proxy-process.js';

export const HAPROXY = findProgram(['haproxy'], 'apt-get install haproxy.');

const PAGE = join(ROOT, 'docs/operations/proxies.md');

/** HAProxy in front of one node, as the page has it. `change` makes another configuration of the page's. */
export function startHAProxy(node: string, change: (configuration: string) => string): Promise<ProxyProcess> {
  return ProxyProcess.start(HAPROXY!, async ({ folder, port }) => {
    const page = await readFile(PAGE, 'utf8');
    const command = /^printf .* > \/etc\/haproxy\/later\.http$/m.exec(page)![0];
    await promisify(execFile)('sh', ['-c', command.replace('/etc/haproxy', folder)]);
    const configuration = change(/^```haproxy\n(.*?)^```$/ms.exec(page)![1]!)
      .replaceAll('node-1:3000 check', `${new URL(node).host} check inter 100ms`)
      .replaceAll(/^ *server node-2 .*\n/gm, '')
      .replaceAll('/etc/haproxy', folder)
      .replace('maxconn 20000', 'maxconn 100')
      .replace('bind :80', `bind 127.0.0.1:${port}`);
    const file = join(folder, 'haproxy.cfg');
    await writeFile(file, configuration);
    return ['-db', '-q', '-f', file];
  });
}
