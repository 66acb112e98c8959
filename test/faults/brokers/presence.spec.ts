import { afterAll, afterEach, describe, expect, it } from '@jest/globals';

import { withTimeout } from '../../../src/backplane/broker/with-timeout.js';
import { until } from '../../support/baseline.js';
import { brokerKinds } from '../../support/brokers/brokers.js';
import { FaultRun, ProcessNode } from '../../support/brokers/fault-run.js';

afterAll(() => ProcessNode.clean());

for (const kind of brokerKinds) {
  (kind.isInstalled ? describe : describe.skip)(`clients of all nodes, counted through ${kind.name}`, () => {
    let run: FaultRun;
    afterEach(() => run.end());

    it('are fewer when a node was killed, and more when there is another', async () => {
      run = new FaultRun(`presence (${kind.name})`, await kind.start({ persistent: false }));
      const [a, victim] = [await run.node(), await run.process()];
      let urls = [victim.url];
      for (let i = 0; i < 3; i++) await run.follow(['t'], () => urls);
      await run.follow(['t'], () => [a.url]);
      const count = () => a.sse.countClients('t');
      await until('all are counted', async () => (await count()) === 4);
      urls = [];
      victim.kill();
      // The lease is of 10 s.
      await withTimeout(
        until('those of the dead node are not', async () => (await count()) === 1),
        25_000,
        'the lease',
      );
      const b = await run.node();
      urls = [b.url];
      await until('they are again', async () => (await count()) === 4);
      expect(a.sse.getClientCount('t')).toBe(1);
    });

    it('are listed by their groups also while a node does not answer, because it was killed', async () => {
      run = new FaultRun(`presence (${kind.name})`, await kind.start({ persistent: false }));
      const [a, b, victim] = [await run.node(), await run.node(), await run.process()];
      await run.follow(['t'], () => [victim.url]);
      const streams = [a, b].map(({ sse }, i) => sse.stream('t', { group: `user:${i}` }).subscribe());
      await until('all are counted', async () => (await a.sse.countClients('t')) === 3);
      let groups: string[] = [];
      // Asked again, because on a busy machine a living node may not answer within the second either.
      const listed = async (): Promise<boolean> => {
        groups = (await b.sse.groupsOf('t')).map(({ group }) => group);
        return groups.join() === 'user:0,user:1';
      };
      try {
        await until('both are listed', listed);
        victim.kill();
        await until('both are listed without the dead node', listed);
      } catch (error) {
        throw new Error(`listed are ${JSON.stringify(groups)}`, { cause: error });
      } finally {
        for (const stream of streams) stream.unsubscribe();
      }
    });

    it('are all counted again after the broker was flushed, and after it was away', async () => {
      run = new FaultRun(`presence (${kind.name})`, await kind.start({ persistent: false }));
      const [a, b] = [await run.node({ publishTimeout: 500 }), await run.node()];
      await run.follow(['t'], () => [a.url]);
      await run.follow(['t'], () => [b.url]);
      const untilCounted = async (when: string): Promise<void> => {
        let counts: unknown[] = [];
        const counted = async (): Promise<boolean> => {
          counts = await Promise.all([a, b].map(({ sse }) => sse.countClients('t').catch(String)));
          return counts.every((count) => count === 2);
        };
        await until(`both are counted ${when}`, counted).catch((error: Error) => {
          const nodes = [a, b].map(({ sse }) => [sse.getClientCount('t'), sse.stats().backplane]);
          throw new Error(`${error.message} ${JSON.stringify({ counts, nodes })}`);
        });
      };
      await untilCounted('at first');
      await run.broker.flush();
      await untilCounted('after a flush');
      await run.broker.kill();
      await until('the node knows', () => a.sse.stats().backplane.status === 'down');
      await expect(a.sse.countClients('t')).rejects.toMatchObject({ code: 'BACKPLANE_UNAVAILABLE' });
      await run.broker.start();
      await untilCounted('when it is back');
    });
  });
}
