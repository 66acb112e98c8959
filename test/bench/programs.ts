import { existsSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';

/** The unit of CPU time in `/proc`, in microseconds: USER_HZ is 100 on every Linux that Node runs on. */
const CPU_TICK = 10_000;
const PAGE = 4_096;

/** Servers are often where only root's `PATH` leads to. */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return directories.map((directory) => join(directory, name)).find((file) => existsSync(file));
}

/** A port of the loopback interface that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// Behind the name in parentheses, which may hold spaces.
function statOf(pid: number, field: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[field - 3]);
}

/** User and system time of another process so far, in microseconds. */
export function cpuOf(pid: number): number {
  return (statOf(pid, 14) + statOf(pid, 15)) * CPU_TICK;
}

/** Resident bytes of another process. */
export function rssOf(pid: number): number {
  return statOf(pid, 24) * PAGE;
}
