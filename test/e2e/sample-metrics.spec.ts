import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { MemoryBackplane } from 'nestjs-sse-hub';

import { createApp } from '../../sample-app/create-app.js';
import { platforms } from '../support/platforms.js';
import { closeStreams, open } from '../support/readers/event-stream.js';
import { ROOT } from '../support/root.js';

/** A log that can lag, as those of brokers can. */
class LaggingLog extends MemoryBackplane {
  readonly lag = 250;
}

interface Panel {
  readonly title: string;
  readonly targets: readonly { readonly expr: string }[];
}

const apps: INestApplication[] = [];

afterEach(async () => {
  closeStreams();
  await Promise.all(apps.splice(0).map((app) => app.close()));
});

/** What is before the labels of each metric that PromQL names. */
function metricsIn(expression: string): string[] {
  return [...expression.matchAll(/\b([a-z_]+)\{/g)].map(([, name]) => name!);
}

for (const platform of platforms) {
  describe(`the sample application on ${platform.name}`, () => {
    const start = async (): Promise<string> => {
      const app = await createApp(platform.adapter(), new LaggingLog());
      apps.push(app);
      await app.listen(0, '127.0.0.1');
      return app.getUrl();
    };

    it('serves every metric that its dashboard shows', async () => {
      const url = await start();
      const stream = await open(`${url}/notifications/events`, { lastEventId: 'foreign' });
      await stream.until(() => stream.ofType('sse.reset').length === 1);
      await fetch(`${url}/notifications`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"text":"hello"}',
      });
      await stream.until(() => stream.ofType('notification').length === 1);

      const response = await fetch(`${url}/metrics`);
      expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
      const text = await response.text();
      const served = new Set([...text.matchAll(/^(\w+)\{/gm)].map(([, name]) => name!));
      expect(text).toMatch(/^sse_streams_open\{.*\} 1$/m);
      expect(text).toMatch(/^sse_resets_sent_total\{sse_reset_reason="foreign".*\} 1$/m);
      expect(text).toMatch(/^sse_log_lag\{.*\} 0\.25$/m);

      const dashboard = JSON.parse(await readFile(join(ROOT, 'sample-app/grafana-dashboard.json'), 'utf8')) as {
        panels: readonly Panel[];
      };
      const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
      const shown = new Set(expressions.flatMap(metricsIn));
      expect(expressions.filter((expression) => metricsIn(expression).length === 0)).toEqual([]);
      expect([...shown].filter((name) => !served.has(name))).toEqual([]);
      // And nothing that is measured is left out; of a histogram its buckets are shown.
      const measured = [...served].filter((name) => name.startsWith('sse_') && !/_(sum|count)$/.test(name));
      expect(measured.filter((name) => !shown.has(name))).toEqual([]);
    });

    it('is ready and alive', async () => {
      const url = await start();
      for (const check of ['ready', 'alive']) expect((await fetch(`${url}/health/${check}`)).status).toBe(200);
    });
  });
}
