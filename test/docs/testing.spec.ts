import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { codeShownIn, ShownModules } from '../support/shown-code.js';

/** The page on testing, run: a test that it shows has to pass. */

let modules: ShownModules;

beforeAll(async () => {
  modules = await ShownModules.create();
});

afterAll(() => modules.remove());

describe('docs/guide/testing.md', () => {
  it('shows a test of a controller that passes, and fails where the controller does something else', async () => {
    const shown = (await codeShownIn('docs/guide/testing.md')).find((code) => code.includes('node:assert'))!;
    await modules.load('controller', shown);
    const changed = shown.replace("broadcast('orders', 'created'", "broadcast('orders', 'changed'");
    await expect(modules.load('changed', changed)).rejects.toThrow(/created/);
  });

  it('shows nodes that hear each other at once', async () => {
    const shown = (await codeShownIn('docs/guide/testing.md')).find((code) => code.includes('MemoryBackplane'))!;
    const log = jest.spyOn(console, 'log').mockImplementation(() => {});
    await modules.load('nodes', shown);
    expect(log.mock.calls).toEqual([[{ id: 7 }]]);
    log.mockRestore();
  });
});
