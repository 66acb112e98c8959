// The test kit in the runner that Node has. No stream is closed: the process has to end all the same.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';

import { Test } from '@nestjs/testing';
import { SSEService } from 'nestjs-sse-hub';
import { openStream } from 'nestjs-sse-hub/testing';

import { AppModule } from './app.module.js';

let app;

beforeEach(async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() });
  // It has no clock that nobody sets.
  mock.method(performance, 'now', () => Date.now());
  const testing = await Test.createTestingModule({ imports: [AppModule] }).compile();
  app = testing.createNestApplication();
});

afterEach(async () => {
  mock.reset();
  mock.timers.reset();
  await app.close();
});

void test('reads, leaves, comes back, and says what came instead', async () => {
  const stream = await openStream(app, '/events', { timeout: 500 });
  const sse = app.get(SSEService);
  sse.broadcast('news', 'numbered', { i: 1 });
  assert.deepEqual((await stream.next('numbered')).data, { i: 1 });
  stream.cut();
  sse.broadcast('news', 'numbered', { i: 2 });
  await stream.resume();
  assert.deepEqual((await stream.next()).data, { i: 2 });
  await assert.rejects(stream.next('other'), /waited 500 ms for 'other'; what came: nothing/);
  await assert.rejects(openStream(app, '/nowhere'), { status: 404 });
});

void test('moves time on, while streams are real', async () => {
  const stream = await openStream(app, '/events');
  mock.timers.tick(40_000);
  assert.equal(await stream.comment(), '');
});
