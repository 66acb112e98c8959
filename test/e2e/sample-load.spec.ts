import { readdir, readFile } from 'node:fs/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import { SSEService } from 'nestjs-sse-hub';

import { NODE_NAME } from '../../sample-app/node-name.js';
import type { LoadState } from '../../sample-app/load/load.service.js';
import { until } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { closeSamples, dataOf, startSample } from '../support/sample-app.js';

afterEach(closeSamples);

const CLIENTS = 200;
const RATE = 20;

/** The children of this process that are clients of a load. */
async function workers(): Promise<number[]> {
  const found: number[] = [];
  for (const task of await readdir('/proc/self/task')) {
    const children = await readFile(`/proc/self/task/${task}/children`, 'utf8').catch(() => '');
    for (const pid of children.split(' ').filter(Boolean).map(Number)) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (command.includes('load-clients.js')) found.push(pid);
    }
  }
  return found;
}

for (const platform of platforms) {
  describe(`a load of the sample application on ${platform.name}`, () => {
    const start = async () => {
      const sample = await startSample(platform);
      const dashboard = await sample.follow('/dashboard/events', 'sse.open', 'load');
      const figures = (): LoadState[] => dataOf<LoadState>(dashboard, 'load');
      const untilState = (state: LoadState['state']) =>
        until(`a load that is ${state}`, () => figures().at(-1)?.state === state);
      const clients = (): number => sample.app.get(SSEService).getClientCount();
      return { ...sample, figures, untilState, clients };
    };

    it('opens so many streams, tells each second how fast events come, and gives them back', async () => {
      const { get, status, figures, untilState, clients } = await start();
      expect(await get('/load')).toMatchObject({ node: NODE_NAME, state: 'stopped', clients: 0, connected: 0 });
      expect(await status('POST', '/load', { clients: CLIENTS, rate: RATE })).toBe(202);
      expect(await status('POST', '/load', { clients: CLIENTS, rate: RATE })).toBe(409);
      expect(figures()[0]).toMatchObject({ node: NODE_NAME, state: 'starting', clients: CLIENTS, connected: 0 });
      await untilState('running');
      await until('events come', () => (figures().at(-1)?.perSecond ?? 0) > CLIENTS);
      const { connected, p50, p99, message } = await get<LoadState>('/load');
      expect({ connected, message }).toEqual({ connected: CLIENTS, message: undefined });
      expect(p50).toBeGreaterThan(0);
      expect(p99).toBeGreaterThanOrEqual(p50);
      expect(clients()).toBe(CLIENTS + 1);
      // No list for a person has two thousand lines.
      expect(await get('/admin/connections')).toMatchObject({ open: CLIENTS + 1, connections: [{ user: 'Ada' }] });

      expect(await status('DELETE', '/load')).toBe(204);
      await untilState('stopped');
      await until('they are gone', () => clients() === 1);
      expect(await get('/load')).toMatchObject({ state: 'stopped', connected: 0, perSecond: 0 });
      expect(await workers()).toEqual([]);
    });

    it('stops, and says so, when the process of its clients dies', async () => {
      const { status, figures, untilState, clients } = await start();
      await status('POST', '/load', { clients: 20, rate: RATE });
      await untilState('running');
      const [worker] = await workers();
      process.kill(worker!, 'SIGKILL');
      await untilState('stopped');
      expect(figures().at(-1)!.message).toBe('The process of the clients has ended: SIGKILL.');
      await until('they are gone', () => clients() === 1);
      expect(await status('POST', '/load', { clients: 1, rate: 1 })).toBe(202);
    });

    it('tells what could not be opened', async () => {
      const { app, status, figures } = await start();
      await status('POST', '/load', { clients: 300, rate: 1 });
      const sse = app.get(SSEService);
      await until('some are there', () => sse.getClientCount() > 10);
      for (const { id } of sse.getClientsByTopic('load').slice(0, 5)) sse.removeClient(id);
      await until('it is told', () => figures().at(-1)?.message !== undefined);
      expect(figures().at(-1)!.message).toMatch(/^Not open: 5 × ended by the server\.$/);
    });

    it('ends with the application', async () => {
      const { app, status, untilState } = await start();
      await status('POST', '/load', { clients: 20, rate: 1 });
      await untilState('running');
      await app.close();
      await until('its clients are gone', async () => (await workers()).length === 0);
    });

    it('is not larger than it may be, and not for strangers', async () => {
      const { status } = await start();
      const loads = [{}, { clients: 0, rate: 1 }, { clients: 2_001, rate: 1 }, { clients: 1, rate: 51 }];
      for (const load of loads) expect(await status('POST', '/load', load)).toBe(400);
      for (const method of ['POST', 'DELETE', 'GET']) expect(await status(method, '/load?user=13')).toBe(401);
    });
  });
}
