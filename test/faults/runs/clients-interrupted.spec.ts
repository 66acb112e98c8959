import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { ChatNodes } from '../../support/chats/chat-nodes.js';
import { type ChatClient, chatClients, passingOver } from '../../support/chats/clients.js';
import { answerOf } from '../../support/chats/server/text.js';
import { note, record } from '../../support/measures/figures.js';
import { Entrance } from '../../support/network/entrance.js';
import { findSampleBrokers } from '../../support/processes/sample-nodes.js';
import { buildChats } from '../../support/processes/standalone.js';
import { integer, pick, seededRandom } from '../../support/seed.js';

/** Answers of each client on each log. `FAULT_ROUNDS=10` asks for ten times as many. */
const ANSWERS = 2 * Number(process.env['FAULT_ROUNDS'] ?? 1);
/** That are given at a time. */
const AT_A_TIME = 10;
const TOKENS = 180;
/** Milliseconds between two tokens, and, on average, between two interruptions. */
const PACE = 8;
const PEACE = 70;
const MOST_INTERRUPTIONS = 20;

const KINDS = ['end', 'end', 'end', 'cut', 'cut', 'tear', 'tear', 'kill', 'restart'] as const;

const brokers = await findSampleBrokers();

let built: Awaited<ReturnType<typeof buildChats>>;

beforeAll(async () => {
  built = await buildChats();
});

afterAll(async () => {
  await built.remove();
  for (const broker of brokers) await broker.stop();
});

interface Viewed {
  readonly id: string;
  readonly entrance: Entrance;
  readonly client: ChatClient;
  isOver: boolean;
}

/** Interrupts an answer at random places, in all the ways that there are, until it is over. */
async function interrupt(viewed: Viewed, all: readonly Viewed[], nodes: ChatNodes, random: () => number) {
  const { entrance } = viewed;
  for (let left = integer(random, 1, MOST_INTERRUPTIONS); left > 0 && !viewed.isOver; left--) {
    await delay(2 * PEACE * random());
    // Most readers wait for seconds after a request without an answer: not too often.
    const mayBeUnanswered = random() < 0.1;
    while (!(mayBeUnanswered ? entrance.answering !== undefined : entrance.hasBegun) && !viewed.isOver) await delay(1);
    const node = entrance.answering;
    if (node === undefined) return;
    const drawn = pick(random, KINDS);
    const kind = drawn === 'tear' && viewed.client.losesTornEvents ? 'cut' : drawn;
    if (kind === 'end') {
      // The node may have been killed before it could say that it has done so.
      const removed = await nodes.remove(node, viewed.id).catch(() => 1);
      if (removed > 0) entrance.noteInterruption();
    } else if (kind === 'tear') {
      entrance.tear(random());
    } else if (kind === 'cut' || !nodes.mayLeave(node)) {
      entrance.cut();
    } else {
      for (const other of all) if (other.entrance.answering === node) other.entrance.noteInterruption();
      if (kind === 'kill') nodes.kill(node);
      else nodes.restart(node);
    }
  }
}

interface Outcome {
  readonly interruptions: number;
  readonly requests: number;
}

async function follow(client: ChatClient, viewed: Viewed, nodes: ChatNodes, way: string): Promise<void> {
  const answer = answerOf(viewed.id);
  if (!client.starts) {
    const response = await fetch(`${nodes.first}/${way}/chat/${viewed.id}`, { method: 'POST' });
    await response.body!.cancel();
  }
  const { got, expected } = await client.follow(`${viewed.entrance.url}/${way}`, answer);
  expect(got).toEqual(expected);
}

/** So many answers at a time. Each of them is read to its end, and exactly. */
async function answers(client: ChatClient, nodes: ChatNodes, count: number, salt: number): Promise<Outcome[]> {
  const random = seededRandom(salt);
  const all: Viewed[] = [];
  for (let n = 0; n < count; n++) {
    let isFirst = true;
    const choose = (): string => {
      if (!isFirst) return nodes.some(random);
      isFirst = false;
      return nodes.first;
    };
    const entrance = await Entrance.open({ choose, hasLeft: (url) => nodes.hasLeft(url) });
    all.push({ id: `${salt}-${n}-${Math.floor(random() * 1e9)}.${TOKENS}.${PACE}`, entrance, client, isOver: false });
  }
  try {
    await Promise.all(
      all.map(async (viewed, n) => {
        const following = follow(client, viewed, nodes, n % 2 === 0 ? 'cut' : 'end').finally(
          () => (viewed.isOver = true),
        );
        await Promise.all([following, interrupt(viewed, all, nodes, random)]);
      }),
    );
  } finally {
    for (const { entrance } of all) entrance.close();
  }
  return all.map(({ entrance: { interruptions, requests } }) => ({ interruptions, requests }));
}

const logs = [{ name: 'memory', broker: undefined }, ...brokers.map((broker) => ({ name: broker.name, broker }))];

for (const { name, broker } of logs) {
  const isThere = broker === undefined || broker.url !== undefined;
  (isThere ? describe : describe.skip)(
    `an answer on ${name} that is interrupted again and again is complete for`,
    () => {
      let nodes: ChatNodes;

      beforeAll(async () => {
        // What a transport has to say of interruptions.
        jest.spyOn(console, 'error').mockImplementation(() => {});
        nodes = await ChatNodes.start(built.folder, broker);
      });

      afterAll(async () => {
        jest.restoreAllMocks();
        await nodes.end();
      });

      chatClients.forEach((client, salt) => {
        (client.isLeftOut ? it.skip : it)(client.name, async () => {
          const outcomes: Outcome[] = [];
          for (let given = 0; given < ANSWERS; given += AT_A_TIME) {
            const count = Math.min(AT_A_TIME, ANSWERS - given);
            const give = () => answers(client, nodes, count, salt + 100 * given);
            outcomes.push(...(await (client.leavesRejections ? passingOver(give) : give())));
            await nodes.settled();
          }
          const interruptions = outcomes.reduce((sum, one) => sum + one.interruptions, 0);
          const requests = outcomes.reduce((sum, one) => sum + one.requests, 0);
          record({ faults: interruptions, checked: outcomes.length });
          note(
            `${client.name}, ${name}: ${outcomes.length} answers, ${interruptions} interruptions, ${requests} requests`,
          );
          expect(outcomes.filter((one) => one.requests > 1 + one.interruptions)).toEqual([]);
          expect(interruptions).toBeGreaterThan(0);
        });
      });
    },
  );
}
