import { describe, expect, it } from '@jest/globals';

import { SharedConnection } from '../../src/backplane/broker/shared-connection.js';

interface Fake {
  readonly n: number;
  alive: boolean;
}

/** Opens numbered connections, each when it is told how that goes. */
function start() {
  const closed: number[] = [];
  const opened: number[] = [];
  const attempts: { succeed(): void; fail(): void }[] = [];
  const connection = new SharedConnection<Fake>(
    {
      open: () =>
        new Promise((resolve, reject) => {
          const n = attempts.length;
          attempts.push({
            succeed: () => resolve({ n, alive: true }),
            fail: () => reject(new Error(`attempt ${n} failed`)),
          });
        }),
      isAlive: ({ alive }) => alive,
      close: ({ n }) => void closed.push(n),
    },
    ({ n }) => void opened.push(n),
  );
  return { connection, attempts, opened, closed };
}

describe('the connection that is shared', () => {
  it('is opened once for all who ask, and then is the same for all', async () => {
    const { connection, attempts, opened } = start();
    const asked = [connection.open(), connection.open()];
    attempts[0]!.succeed();
    const [one, other] = await Promise.all(asked);
    expect(other).toBe(one);
    expect(await connection.open()).toBe(one);
    expect(connection.current).toBe(one);
    expect(attempts).toHaveLength(1);
    expect(opened).toEqual([0]);
  });

  it('is tried again after it could not be opened', async () => {
    const { connection, attempts, opened } = start();
    const asked = connection.open();
    attempts[0]!.fail();
    await expect(asked).rejects.toThrow('attempt 0 failed');
    const again = connection.open();
    attempts[1]!.succeed();
    expect((await again).n).toBe(1);
    expect(opened).toEqual([1]);
  });

  it('is another when it has broken, and what is left of the old one is closed', async () => {
    const { connection, attempts, closed } = start();
    const first = connection.open();
    attempts[0]!.succeed();
    (await first).alive = false;
    expect(connection.current).toBeUndefined();
    const second = connection.open();
    attempts[1]!.succeed();
    expect((await second).n).toBe(1);
    expect(closed).toEqual([0]);
  });

  it('is closed when it opens after it was dropped, and does not take the place of the next', async () => {
    const { connection, attempts, opened, closed } = start();
    const late = connection.open();
    connection.drop();
    const next = connection.open();
    attempts[1]!.succeed();
    expect((await next).n).toBe(1);
    attempts[0]!.succeed();
    await expect(late).rejects.toThrow('not needed any more');
    expect(connection.current?.n).toBe(1);
    expect(opened).toEqual([1]);
    expect(closed).toEqual([0]);
  });

  it('is still being opened when an attempt from before it was dropped fails', async () => {
    const { connection, attempts } = start();
    const late = connection.open();
    connection.drop();
    const next = connection.open();
    attempts[0]!.fail();
    await expect(late).rejects.toThrow('attempt 0 failed');
    expect(connection.open()).toBe(next);
    attempts[1]!.succeed();
    expect((await next).n).toBe(1);
  });
});
