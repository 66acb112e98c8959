import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { ROOT } from '../root.js';
import { findProgram } from './programs.js';
import { ProxyProcess } from './proxy-process.js';

export const NGINX = findProgram(['nginx'], 'apt-get install nginx.');

/** nginx in front of one node, as `sample-app/nginx.conf` has it. `change` makes another configuration of the sample's. */
export function startNginx(node: string, change: (configuration: string) => string): Promise<ProxyProcess> {
  return ProxyProcess.start(NGINX!, async ({ folder, port }) => {
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
    const file = join(folder, 'nginx.conf');
    await writeFile(file, configuration);
    return ['-p', folder, '-c', file];
  });
}
