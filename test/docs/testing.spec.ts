import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { codeShownIn, ShownModules } from '../support/shown-code.js';

/** The page on testing, run: a test that it shows has to pass. */

let modules: ShownModules;

beforeAll(async () => {
  modules = await ShownModules.create();
});

afterAll(() => modules.remove());

describe('docs/guide/testing.md', () => {
  it('shows a test of a stream that passes, and fails where the application does something else', async () => {
    const shown = (await codeShownIn('docs/guide/testing.md')).find((code) => code.includes('stream.cut()'))!;
    await modules.load('stream', shown);
    const changed = shown.replace("broadcast('order:7', 'paid'", "broadcast('order:7', 'refunded'");
    await expect(modules.load('changed-stream', changed)).rejects.toThrow(/refunded/);
  });

  it('shows a test of a controller that passes, and fails where the controller does something else', async () => {
    const shown = (await codeShownIn('docs/guide/testing.md')).find((code) => code.includes('new OrdersController'))!;
    await modules.load('controller', shown);
    const changed = shown.replace("broadcast('orders', 'created'", "broadcast('orders', 'changed'");
    await expect(modules.load('changed', changed)).rejects.toThrow(/created/);
  });

  it('shows nodes that hear each other at once, or when they are released', async () => {
    const shown = (await codeShownIn('docs/guide/testing.md')).find((code) => code.includes('TestLog'))!;
    const log = jest.spyOn(console, 'log').mockImplementation(() => {});
    await modules.load('nodes', shown);
    expect(log.mock.calls).toEqual([[{ id: 7 }], [{ id: 8 }]]);
    log.mockRestore();
  });
});
