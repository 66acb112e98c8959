import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from '@jest/globals';

import { platforms } from '../support/platforms.js';
import { ROOT } from '../support/root.js';
import { closeSamples, startSample } from '../support/sample-app.js';

interface Source {
  readonly panel: string;
  readonly parts: readonly { readonly file: string; readonly line: number; readonly code: string }[];
}

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
};

/** What panels the page has. */
const PANELS = ['survive', 'chat', 'notifications', 'dashboard', 'document', 'job', 'load', 'admin'];

afterEach(closeSamples);

/** `fetch` would tidy the path up. */
function statusOf(url: string, path: string): Promise<number> {
  const { hostname: host, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host, port, path, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    request.on('error', reject).end();
  });
}

for (const platform of platforms) {
  describe(`files of the sample application on ${platform.name}`, () => {
    it('are all that is in its folder, each with its type, and may load nothing from elsewhere', async () => {
      const { request } = await startSample(platform);
      const folder = join(ROOT, 'sample-app/public');
      const files = await readdir(folder, { recursive: true, withFileTypes: true });
      const paths = files
        .filter((file) => file.isFile())
        .map((file) => join(file.parentPath, file.name).slice(folder.length));
      expect(paths).toContain('/index.html');
      for (const path of [...paths, '/']) {
        const answer = await request('GET', path);
        expect([path, answer.status]).toEqual([path, 200]);
        const name = path === '/' ? '/index.html' : path;
        expect(answer.headers.get('content-type')).toBe(TYPES[name.split('.').at(-1)!]);
        expect(answer.headers.get('content-security-policy')).toBe("default-src 'self'; img-src 'self' data:");
        expect(await answer.text()).toBe(await readFile(folder + name, 'utf8'));
      }
    });

    it('are nothing beside it', async () => {
      const { url } = await startSample(platform);
      const paths = [
        '/../paths.ts',
        '/%2e%2e/paths.ts',
        '/..%2fpaths.ts',
        '/vendor/client/..%2f..%2fpackage.json',
        '/vendor/client/%2e%2e/index.js',
        '/vendor/client/index.js.map',
        '/vendor/other.js',
        '/nothing.js',
        '/index.html/',
        '//index.html',
      ];
      for (const path of paths) expect([path, await statusOf(url, path)]).not.toEqual([path, 200]);
    });

    it('are the library of charts', async () => {
      const { request } = await startSample(platform);
      const chart = await request('GET', '/vendor/uplot.js');
      expect(chart.headers.get('content-type')).toBe(TYPES['js']);
      expect(await chart.text()).toContain('export { uPlot as default }');
      const style = await request('GET', '/vendor/uplot.css');
      expect(style.headers.get('content-type')).toBe(TYPES['css']);
      expect(await style.text()).toContain('.uplot');
    });

    it('are the client of the library where it is built, and else say how to build it', async () => {
      const { request } = await startSample(platform);
      const [status, text] = existsSync(join(ROOT, 'dist/client/index.js'))
        ? [200, 'EventSource']
        : [404, 'build it with'];
      const client = await request('GET', '/vendor/client/index.js');
      expect([client.status, await client.text()]).toEqual([status, expect.stringContaining(text)]);
    });
  });

  describe(`sources that the sample application shows on ${platform.name}`, () => {
    it('are what is in its files, in short parts', async () => {
      const { get } = await startSample(platform);
      for (const name of PANELS) {
        const { panel, parts } = await get<Source>(`/source/${name}`);
        expect(panel).toBe(name);
        expect(parts.length).toBeGreaterThan(0);
        for (const { file, line, code } of parts) {
          const lines = code.split('\n');
          expect([file, lines.length > 1 && lines.length <= 15]).toEqual([file, true]);
          const source = (await readFile(join(ROOT, file), 'utf8')).split('\n').slice(line - 1);
          expect(source.slice(0, lines.length).map((text) => text.trim())).toEqual(lines.map((text) => text.trim()));
          // Whole: it begins and ends where it was not indented.
          expect([lines[0], lines.at(-1)]).toEqual([expect.stringMatching(/^\S/), expect.stringMatching(/^[})\]]/)]);
        }
      }
    });

    it('are those of panels, for users', async () => {
      const { status } = await startSample(platform);
      expect(await status('GET', '/source/nothing')).toBe(404);
      expect(await status('GET', '/source/__proto__')).toBe(404);
      expect(await status('GET', '/source/chat?user=13')).toBe(401);
    });
  });
}
