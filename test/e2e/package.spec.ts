import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { AUGMENTS, examples } from '../support/examples.js';
import { isRegistryReachable, manifestOf, PackedLibrary, run, supportedPeers } from '../support/packed-library.js';
import { EventStream, open } from '../support/readers/event-stream.js';
import { ROOT } from '../support/root.js';

/** The package as others get it: packed, installed into projects with nothing else in them, and used from there. */

const FIXTURES = join(import.meta.dirname, 'package');
const CURSOR = /^1~[0-9a-z]+~[0-9a-z]+-[0-9a-z]+$/;

/** What Nest's templates have, and what they run: TypeScript 6 has only types in scope that are named. */
const TEMPLATE = {
  compilerOptions: {
    module: 'nodenext',
    moduleResolution: 'nodenext',
    resolvePackageJsonExports: true,
    esModuleInterop: true,
    isolatedModules: true,
    declaration: true,
    emitDecoratorMetadata: true,
    experimentalDecorators: true,
    target: 'es2023',
    types: ['node'],
    outDir: './dist',
    rootDir: './src',
    skipLibCheck: true,
    strict: true,
  },
  include: ['src'],
  exclude: ['**/*spec.ts'],
};
const JEST = {
  moduleFileExtensions: ['js', 'json', 'ts'],
  transform: { '^.+\\.(t|j)s$': 'ts-jest' },
  testEnvironment: 'node',
};
const JEST_UNIT = { ...JEST, rootDir: 'src', testRegex: '.*\\.spec\\.ts$' };
const JEST_E2E = { ...JEST, rootDir: '.', testRegex: '.e2e-spec.ts$' };
const VITEST = "export default { test: { globals: true, include: ['**/*.spec.ts', '**/*.e2e-spec.ts'] } };";

/** An application as Nest's templates lay it out, in a folder of the project, compiled into its `dist`. */
async function makeApplication(project: string, type: 'module' | 'commonjs'): Promise<string> {
  const application = join(project, type);
  for (const folder of ['src', 'test']) await mkdir(join(application, folder), { recursive: true });
  for (const file of ['app.module.ts', 'main.ts']) await cp(join(FIXTURES, file), join(application, 'src', file));
  await cp(join(FIXTURES, 'unit-spec.js'), join(application, 'src/app.spec.ts'));
  await cp(join(FIXTURES, 'e2e-spec.js'), join(application, 'test/app.e2e-spec.ts'));
  await cp(join(FIXTURES, 'kit-spec.js'), join(application, 'test/kit.e2e-spec.ts'));
  const manifest = { private: true, type: type === 'module' ? type : undefined, jest: JEST_UNIT };
  await writeFile(join(application, 'package.json'), JSON.stringify(manifest));
  await writeFile(join(application, 'test/jest-e2e.json'), JSON.stringify(JEST_E2E));
  await writeFile(join(application, 'vitest.config.mjs'), VITEST);
  await writeFile(join(application, 'tsconfig.json'), JSON.stringify(TEMPLATE));
  await run(project, process.execPath, 'node_modules/typescript/bin/tsc', '--project', application);
  return application;
}

/** How a project's modules are found. */
type Resolution = 'node10' | 'node16' | 'nodenext' | 'bundler';
const MODULES = { node10: 'commonjs', node16: 'node16', nodenext: 'nodenext', bundler: 'esnext' } as const;

/** Checks the types of these files, as projects do that are strict. */
async function compile(
  project: string,
  files: readonly string[],
  moduleResolution: Resolution = 'nodenext',
): Promise<void> {
  const compilerOptions = {
    module: MODULES[moduleResolution],
    moduleResolution,
    target: 'es2023',
    types: ['node'],
    strict: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    // Those of ioredis cannot be checked where imports have to say `with { 'resolution-mode': … }`.
    skipLibCheck: moduleResolution !== 'nodenext',
    noEmit: true,
  };
  const file = `tsconfig.${moduleResolution}.json`;
  await writeFile(join(project, file), JSON.stringify({ compilerOptions, files }));
  await run(project, process.execPath, 'node_modules/typescript/bin/tsc', '--project', file);
}

/** A server in a process of its own. It prints its port on a line by itself, and closes when its input ends. */
class Server {
  static readonly #processes = new Set<ChildProcess>();

  private constructor(
    private readonly process: ChildProcess,
    readonly url: string,
  ) {}

  static async start(project: string, file: string): Promise<Server> {
    const child = spawn(process.execPath, [file], { cwd: project });
    this.#processes.add(child);
    let printed = '';
    child.stderr.on('data', (text: Buffer) => (printed += text.toString()));
    const port = await new Promise<number>((resolve, reject) => {
      let lines = '';
      child.stdout.on('data', (text: Buffer) => {
        lines += text.toString();
        const port = /^\d+$/m.exec(lines);
        if (port) resolve(Number(port[0]));
      });
      child.once('close', () => reject(new Error(`${file} ended: ${printed}`)));
    });
    return new Server(child, `http://127.0.0.1:${port}`);
  }

  /** Those that a test that failed has left behind. */
  static killAll(): void {
    for (const child of this.#processes) child.kill('SIGKILL');
  }

  /** Answers with the exit code of a process that ended by itself, or `null`. */
  async stop(): Promise<number | null> {
    const ended = once(this.process, 'exit');
    const impatience = setTimeout(() => this.process.kill('SIGKILL'), 10_000);
    this.process.stdin?.end();
    await ended;
    clearTimeout(impatience);
    return this.process.exitCode;
  }

  async get(path: string): Promise<string> {
    const response = await fetch(this.url + path);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text}`);
    return text;
  }

  async stats(): Promise<{ clients: number; delivered: number }> {
    return JSON.parse(await this.get('/stats')) as { clients: number; delivered: number };
  }

  /** How many events were delivered when for a while no more were. */
  async deliveredInTheEnd(): Promise<number> {
    let { delivered } = await this.stats();
    for (let still = 0; still < 5; still++) {
      await delay(100);
      const now = await this.stats();
      if (now.delivered !== delivered) still = -1;
      ({ delivered } = now);
    }
    return delivered;
  }
}

/** A client that reads nothing, not even the headers, until `read()` is called. */
class LazyClient {
  readonly #request: http.ClientRequest;
  readonly #socket: net.Socket;

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#socket = net.connect(Number(port), hostname).pause();
    this.#request = http.request(url, { createConnection: () => this.#socket });
    this.#request.end();
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  async read(): Promise<EventStream> {
    const answered = once(this.#request, 'response') as Promise<[http.IncomingMessage]>;
    this.#socket.resume();
    const [response] = await answered;
    return new EventStream(response, this.#request);
  }
}

/** Of the application whose module is `package/app.module.ts`. */
async function expectDelivery(folder: string, file: string): Promise<void> {
  const server = await Server.start(folder, file);
  const client = await open(`${server.url}/events`);
  expect((await client.next()).event).toBe('sse.open');
  await server.get('/publish');
  expect(await client.next()).toMatchObject({ event: 'numbered', data: '{"i":0}' });
  expect(await server.stop()).toBe(0);
}

/** What README begins with: a program, and the bytes that it says are received, by a first client and by one that is back. */
async function smallestExample(): Promise<{ program: string; received: readonly string[] }> {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const [program = ''] = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = '']) => code);
  const received = [...readme.matchAll(/^```text\n(.*?)^```$/gms)].map(([, text = '']) => text);
  return { program, received };
}

/** The same for every run: ids and times by the order in which they appear. */
function withoutChance(texts: readonly string[]): string[] {
  const names = new Map<string, string>();
  const nameOf = (value: string): string => {
    if (!names.has(value)) names.set(value, `<${names.size}>`);
    return names.get(value)!;
  };
  return texts.map((text) =>
    text
      .replaceAll(/(?<=^id: ).*$/gm, nameOf)
      .replaceAll(/(?<="clientId":")[^"]*/g, nameOf)
      .replaceAll(/(?<=^retry: )\d+$/gm, '3000 to 4500'),
  );
}

/** What is received until there are so many events. */
async function textOf(response: Response, events: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body!) {
    text += decoder.decode(chunk, { stream: true });
    if (text.split('\n\n').length > events) break;
  }
  return text;
}

let library: PackedLibrary;

beforeAll(async () => {
  library = await PackedLibrary.pack();
});

afterAll(async () => {
  Server.killAll();
  await library.remove();
});

async function contents(): Promise<string[]> {
  const names = (await run(library.folder, 'tar', '-tzf', library.tarball)).trim().split('\n');
  return names.map((name) => name.replace(/^package\//, '')).toSorted();
}

describe('the tarball', () => {
  it('holds every module with its types, what there is to read, and nothing else', async () => {
    const sources = await readdir(join(library.folder, 'repository/src'), { recursive: true });
    const modules = sources.filter((name) => name.endsWith('.ts')).map((name) => name.slice(0, -3));
    const formats = ['dist', 'dist/commonjs'].flatMap((folder) => modules.map((name) => `${folder}/${name}`));
    const documents = await readdir(join(library.folder, 'repository/docs'), { recursive: true });
    // Pages of the API are made from the types, which are in the package themselves.
    const written = documents.filter((name) => name.endsWith('.md') && !/^reference.api\b/.test(name));
    const pages = written.map((name) => `docs/${name}`);
    const texts = ['README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md', ...pages];
    const manifests = ['package.json', 'dist/commonjs/package.json'];
    const expected = [...manifests, ...texts, ...formats.flatMap((name) => [`${name}.js`, `${name}.d.ts`])];
    expect(await contents()).toEqual(expected.toSorted());
  });
});

const isPossible = await isRegistryReachable();
if (!isPossible) process.stderr.write('The npm registry cannot be reached: the packed package is not tried out.\n');

let tools = '';
const BUNDLERS = ['esbuild', 'webpack', '@rspack/core'];

if (isPossible) {
  beforeAll(async () => {
    tools = await library.install('tools', 'esbuild@^0.28.0', 'webpack@^5.0.0', '@rspack/core@^2.0.0');
    await cp(join(FIXTURES, 'bundle.mjs'), join(tools, 'bundle.mjs'));
  });
}

const { newest, oldest } = await supportedPeers();

for (const [peers, ...runner] of [
  [newest, 'vitest@^4.1.2', 'jest@^30.0.0'],
  [oldest, 'jest@^30.0.0', 'ts-jest@^29.2.5'],
] as const) {
  const { nest, ioredis } = peers;
  (isPossible ? describe : describe.skip)(`installed beside Nest ${nest} and ioredis ${ioredis}`, () => {
    let project = '';

    beforeAll(async () => {
      project = await library.installBeside(peers, 'supertest@^7.0.0', 'zod@^4.6.0', ...runner);
      for (const file of ['nest-app.mjs', 'plain-server.cjs']) await cp(join(FIXTURES, file), join(project, file));
    });

    it('has its peers, and brings no second Nest along', async () => {
      for (const name of ['common', 'core', 'platform-express']) {
        expect((await manifestOf(join(project, 'node_modules/@nestjs', name))).version).toBe(nest);
      }
      expect(existsSync(join(project, 'node_modules/nestjs-sse-hub/node_modules'))).toBe(false);
    });

    it('has types for ES modules and for CommonJS', async () => {
      const files = ['consumer.mts', 'consumer.cts'];
      for (const name of files) await cp(join(FIXTURES, 'consumer.ts'), join(project, name));
      await compile(project, files);
    });

    it('has types for all entries, however modules are found', async () => {
      const entries = ['entries.ts', 'entries.mts', 'entries.cts'];
      for (const name of entries) await cp(join(FIXTURES, 'entries.ts'), join(project, name));
      const ways: [Resolution, string[]][] = [['bundler', ['entries.ts']]];
      // Nest 12 has no CommonJS, and TypeScript 6 no `node10`.
      if (peers === oldest) ways.push(['node10', ['entries.ts']], ['node16', ['entries.mts', 'entries.cts']]);
      for (const [resolution, files] of ways) await compile(project, files, resolution);
    });

    it('compiles what the documents and the doc comments show', async () => {
      await cp(join(FIXTURES, 'examples'), project, { recursive: true });
      const modules = await examples();
      expect(modules.size).toBeGreaterThan(50);
      for (const [name, code] of modules) await writeFile(join(project, name), code);
      const names = [...modules.keys()];
      const isAlone = (name: string): boolean => AUGMENTS.test(modules.get(name)!);
      await compile(
        project,
        names.filter((name) => !isAlone(name)),
      );
      for (const name of names.filter(isAlone)) await compile(project, [name]);
    });

    it('has entries for brokers, integrations and tests, and loads nothing that is not asked for', async () => {
      const use = `console.log(new RedisBackplane().kind, new NatsBackplane().kind, backplaneContract().length > 10, SSEHealthIndicator.name, SSEMetricsModule.name, ApiEventStream().length, EventSource.CLOSED)`;
      const names = [
        ['RedisBackplane', 'nestjs-sse-hub/redis'],
        ['NatsBackplane', 'nestjs-sse-hub/nats'],
        ['ApiEventStream', 'nestjs-sse-hub/swagger'],
        ['EventSource', 'nestjs-sse-hub/client'],
        ['backplaneContract', 'nestjs-sse-hub/testing'],
        ['SSEHealthIndicator', 'nestjs-sse-hub/terminus'],
        ['SSEMetricsModule', 'nestjs-sse-hub/opentelemetry'],
      ];
      const imports = names.map(([name, from]) => `import { ${name} } from '${from}';`).join('');
      const requires = names.map(([name, from]) => `const { ${name} } = require('${from}');`).join('');
      const said = 'redis nats true SSEHealthIndicator SSEMetricsModule 3 2\n';
      expect(await run(project, process.execPath, '--input-type=module', '-e', imports + use)).toBe(said);
      expect(await run(project, process.execPath, '--input-type=commonjs', '-e', requires + use)).toBe(said);

      const withoutClient = `
        require('nestjs-sse-hub');
        require('nestjs-sse-hub/testing');
        console.log(Object.keys(require.cache).filter((file) => /ioredis|@nats-io|terminus|@opentelemetry|swagger/.test(file)).length);`;
      expect(await run(project, process.execPath, '--input-type=commonjs', '-e', withoutClient)).toBe('0\n');
    });

    it('can be required, and serves without Nest', async () => {
      const server = await Server.start(project, 'plain-server.cjs');
      const client = await open(`${server.url}/direct`);
      expect((await client.next()).event).toBe('sse.open');
      await server.get('/publish');
      expect(await client.next()).toEqual({
        event: 'numbered',
        data: '{"i":0}',
        lastEventId: expect.stringMatching(CURSOR) as unknown,
      });
      expect(await server.stop()).toBe(0);
      expect(client.ended).toBe(true);
    });

    it('is one copy for import and for require(), and says where a second one comes from', async () => {
      const both = "import { createRequire } from 'node:module'; import { SSEService } from 'nestjs-sse-hub';";
      const same = "const { SSEService: required } = createRequire(import.meta.url)('nestjs-sse-hub');";
      const loads = (...lines: string[]) =>
        promisify(execFile)(process.execPath, ['--input-type=module', '-e', lines.join('\n')], { cwd: project });
      const once = await loads(both, same, 'console.log(SSEService === required);');
      expect(once.stdout).toBe('true\n');
      expect(once.stderr).not.toContain('SSE_LOADED_TWICE');

      const commonjs = "createRequire(import.meta.url)('./node_modules/nestjs-sse-hub/dist/commonjs/index.js');";
      const { stderr } = await loads(both, 'void SSEService;', commonjs);
      expect(stderr.match(/^.*Warning: .*$/gm)).toEqual([
        expect.stringMatching(
          /SSE_LOADED_TWICE.* from file:\S+\/nestjs-sse-hub\/dist\/backplane\S+ and from \/\S+\/dist\/commonjs\/\S+\. Nest /,
        ),
      ]);

      const again = `
        const require = createRequire(import.meta.url);
        const file = require.resolve('./node_modules/nestjs-sse-hub/dist/commonjs/index.js');
        const first = require(file).SSEService;
        for (const name of Object.keys(require.cache)) if (name.includes('nestjs-sse-hub')) delete require.cache[name];
        console.log(require(file).SSEService === first);`;
      const reset = await loads("import { createRequire } from 'node:module';", again);
      expect(reset.stdout).toBe('false\n');
      expect(reset.stderr).not.toContain('SSE_LOADED_TWICE');
    });

    describe('in an application of the template', () => {
      const formats = ['module', 'commonjs'] as const;
      let applications: Record<(typeof formats)[number], string>;

      beforeAll(async () => {
        const [module, commonjs] = await Promise.all(formats.map((format) => makeApplication(project, format)));
        applications = { module: module!, commonjs: commonjs! };
      });

      it('leaves the unit and end-to-end tests as green as they were', async () => {
        if (peers === newest) {
          await run(applications.module, process.execPath, '../node_modules/vitest/vitest.mjs', 'run');
          return;
        }
        const jest = '../node_modules/jest/bin/jest.js';
        await run(applications.commonjs, process.execPath, jest);
        await run(applications.commonjs, process.execPath, jest, '--config', 'test/jest-e2e.json');
      });

      it('has a test kit for the runner of Node', async () => {
        for (const format of formats) {
          const folder = join(applications[format], 'dist');
          const source = await readFile(join(FIXTURES, 'kit.node-test.js'), 'utf8');
          const file = format === 'module' ? 'kit.test.mjs' : 'kit.test.cjs';
          // What TypeScript makes of it for CommonJS, in short.
          const commonjs = source.replaceAll(/^import (.*) from (.*);$/gm, (_, names: string, from: string) => {
            return `const ${names.replaceAll(' as ', ': ')} = require(${from});`;
          });
          await writeFile(join(folder, file), format === 'module' ? source : commonjs);
          await run(folder, process.execPath, '--test', file);
        }
      });

      (peers === newest ? it : it.skip)('has a test kit for Jest with ES modules', async () => {
        const application = applications.module;
        const source = await readFile(join(FIXTURES, 'kit-spec.js'), 'utf8');
        const inModules = source.replace('./../src/app.module', './app.module.js');
        const file = join(application, 'dist/kit.spec.mjs');
        await writeFile(file, `import { jest } from '@jest/globals';\n${inModules}`);
        const config = JSON.stringify({ rootDir: 'dist', testMatch: ['**/kit.spec.mjs'], transform: {} });
        const jest = '../node_modules/jest/bin/jest.js';
        await run(application, process.execPath, '--experimental-vm-modules', jest, '--config', config);
      });

      it('does what README says of the smallest complete example', async () => {
        const { program, received } = await smallestExample();
        const listen = 'await app.listen(3000);';
        expect(program).toContain(listen);
        const here = `
          await app.listen(0, '127.0.0.1');
          console.log(new URL(await app.getUrl()).port);
          process.stdin.on('end', () => void app.close()).resume();`;
        const application = applications[peers === newest ? 'module' : 'commonjs'];
        await writeFile(join(application, 'src/smallest.ts'), program.replace(listen, here));
        await run(project, process.execPath, 'node_modules/typescript/bin/tsc', '--project', application);
        const server = await Server.start(application, 'dist/smallest.js');
        const orders = `${server.url}/orders`;

        const first = await fetch(orders);
        const body = ['{"id":7,"total":19.5}', '{"id":8,"total":4}'];
        for (const order of body) {
          await fetch(orders, { method: 'POST', headers: { 'content-type': 'application/json' }, body: order });
        }
        const text = await textOf(first, 3);
        const [, lastEventId = ''] = /^event: created\nid: (.*)$/m.exec(text) ?? [];
        const again = await textOf(await fetch(orders, { headers: { 'last-event-id': lastEventId } }), 2);
        expect(withoutChance([text, again])).toEqual(withoutChance(received.slice(0, 2)));
        expect(await server.stop()).toBe(0);
      });

      it.each(formats)('delivers where TypeScript has made it a %s', async (format) => {
        await expectDelivery(applications[format], 'dist/main.js');
      });

      it.each(BUNDLERS)('delivers in one program made by %s', async (bundler) => {
        const application = applications[peers === newest ? 'module' : 'commonjs'];
        const folder = join(application, bundler);
        await run(tools, process.execPath, 'bundle.mjs', bundler, join(application, 'dist/main.js'), folder);
        await expectDelivery(folder, 'main.cjs');
      });
    });

    describe('in an application', () => {
      let server: Server;

      beforeAll(async () => {
        server = await Server.start(project, 'nest-app.mjs');
      });

      it('brings one event to @Sse() and to createClient(), with a cursor to come back with', async () => {
        const clients = await Promise.all([open(`${server.url}/stream/news`), open(`${server.url}/direct/news`)]);
        for (const client of clients) {
          expect(client.status).toBe(200);
          expect(client.response.headers['content-type']).toBe('text/event-stream');
          expect(await client.next()).toMatchObject({
            event: 'sse.open',
            lastEventId: expect.stringMatching(CURSOR) as unknown,
          });
        }
        await server.get('/publish/news/1/0');
        const events = await Promise.all(clients.map((client) => client.next()));
        for (const event of events) expect(event).toMatchObject({ event: 'numbered', data: '{"i":0,"padding":""}' });
        expect(events[0]!.lastEventId).toMatch(CURSOR);
        expect(events[1]!.lastEventId).toBe(events[0]!.lastEventId);
        for (const client of clients) client.close();

        await server.get('/publish/news/2/0');
        const { lastEventId } = events[0]!;
        for (const path of ['/stream/news', '/direct/news']) {
          const again = await open(server.url + path, { lastEventId });
          expect((await again.next()).data).toContain('"resumed":"full"');
          expect(await again.messagesUpTo(2)).toEqual([
            { i: 0, padding: '' },
            { i: 1, padding: '' },
          ]);
          again.close();
        }
      });

      // There is no backpressure in @Sse() itself. It rests on which of a message's fields Nest reads, and when.
      it('hands Nest no more than a client of @Sse() reads, and everything when it does', async () => {
        const total = 400;
        const { delivered: before } = await server.stats();
        const lazy = new LazyClient(`${server.url}/stream/large`);
        while ((await server.stats()).clients !== 1) await delay(10);
        await server.get(`/publish/large/${total}/${64 * 1024}`);
        const handed = (await server.deliveredInTheEnd()) - before;
        expect(lazy.bytesRead).toBe(0);
        expect(handed).toBeGreaterThan(0);
        // What the two sockets, Nest's stream and the hub's own limit hold: megabytes, and here are 25 of them.
        expect(handed).toBeLessThan(total / 2);

        const client = await lazy.read();
        await client.until(() => client.ended || client.messages.length >= total);
        const received = client.data as { i: number; padding: string }[];
        expect(received.map(({ i }) => i)).toEqual(Array.from({ length: total }, (_, i) => i));
        expect(received.every(({ padding }) => padding.length === 64 * 1024)).toBe(true);
        expect(client.ofType('sse.reset')).toEqual([]);
        expect((await server.stats()).delivered - before).toBe(total);
        client.close();
      });

      it('closes with a stream open, and leaves nothing behind that keeps the process alive', async () => {
        const clients = await Promise.all([open(`${server.url}/stream/news`), open(`${server.url}/direct/news`)]);
        expect(await server.stop()).toBe(0);
        await Promise.all(clients.map((client) => client.untilEnd()));
      });
    });
  });
}
