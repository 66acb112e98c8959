import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { cpuOf, findProgram, freePort, rssOf } from '../programs.js';
import { type Contender, EVENT_NAME } from './contender.js';

const MODULES = ['/usr/lib/nginx/modules', '/usr/lib64/nginx/modules', '/usr/local/lib/nginx/modules'];
const STATUS_LENGTH = 'HTTP/1.1 200'.length;

function findModule(): string | undefined {
  return MODULES.map((directory) => join(directory, 'ngx_nchan_module.so')).find((file) => existsSync(file));
}

function missing(): string | undefined {
  if (process.platform !== 'linux') return 'its CPU time is read from /proc';
  if (!findProgram('nginx')) return 'nginx is not installed';
  return findModule() ? undefined : 'the nchan module for nginx is not installed';
}

function configOf(directory: string, port: number): string {
  return `
load_module ${findModule()};
daemon off;
worker_processes 1;
worker_rlimit_nofile 32768;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log crit;
events { worker_connections 32768; }
http {
  access_log off;
  keepalive_requests 100000000;
  nchan_shared_memory_size 512M;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location ~ ^/events/(.+)$ {
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_channel_id_split_delimiter ",";
      nchan_subscriber_first_message newest;
    }
    location ~ ^/publish/(.+)$ {
      client_body_buffer_size 64k;
      nchan_publisher http;
      nchan_channel_id $1;
      nchan_message_buffer_length 1000;
    }
    location = /status { nchan_stub_status; }
  }
}`;
}

async function connectTo(port: number): Promise<Socket> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = connect(port, '127.0.0.1').setNoDelay(true);
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    if (connected) return socket;
    await sleep(50);
  }
  throw new Error('nginx does not accept connections.');
}

/** Publishes over one connection, several requests at a time. */
class Publisher {
  #waiting = 0;
  #tail = '';
  #onSettled: (() => void) | undefined;

  constructor(private readonly socket: Socket) {
    socket.setEncoding('latin1').on('data', (text) => this.#read(String(text)));
  }

  publish(topic: string, payload: unknown): void {
    const body = JSON.stringify(payload);
    this.#waiting++;
    this.socket.write(
      `POST /publish/${topic} HTTP/1.1\r\nHost: localhost\r\nX-EventSource-Event: ${EVENT_NAME}\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }

  settled(): Promise<void> {
    if (this.#waiting === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onSettled = resolve;
    });
  }

  // A status line follows right behind the body before it.
  #read(part: string): void {
    const text = this.#tail + part;
    const answers = [...text.matchAll(/HTTP\/1\.1 2\d\d/g)];
    this.#waiting -= answers.length;
    this.#tail = text.slice(
      Math.max((answers.at(-1)?.index ?? -STATUS_LENGTH) + STATUS_LENGTH, text.length - STATUS_LENGTH + 1),
    );
    if (this.#waiting === 0) this.#onSettled?.();
  }
}

async function statusOf(port: number, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/status`);
  const text = await response.text();
  return Number(new RegExp(`${name}: (\\d+)`).exec(text)?.[1] ?? 0);
}

/** nginx with the nchan module: a server in C, to see where the floor is. */
export const nchan: Contender = {
  label: 'nginx nchan (C)',
  role: 'peer',
  missing,
  async start() {
    const directory = mkdtempSync(join(tmpdir(), 'bench-nchan-'));
    const port = await freePort();
    const file = join(directory, 'nginx.conf');
    writeFileSync(file, configOf(directory, port));
    const nginx = spawn(findProgram('nginx')!, ['-c', file, '-p', directory], { stdio: 'ignore' });
    const gone = new Promise((resolve) => nginx.once('exit', resolve));
    const socket = await connectTo(port);
    const publisher = new Publisher(socket);
    const worker = Number(readFileSync(`/proc/${nginx.pid}/task/${nginx.pid}/children`, 'utf8').trim().split(' ')[0]);
    return {
      port,
      publish: (topic, payload) => publisher.publish(topic, payload),
      settled: () => publisher.settled(),
      clients: () => statusOf(port, 'subscribers'),
      connections: () => statusOf(port, 'subscribers'),
      cpu: () => cpuOf(worker),
      rss: () => rssOf(worker),
      close: async () => {
        socket.destroy();
        nginx.kill('SIGTERM');
        await gone;
        rmSync(directory, { recursive: true, force: true });
      },
    };
  },
};
