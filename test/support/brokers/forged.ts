import { pick } from '../seed.js';

/** What somebody else may have put where a batch has its text: nothing of it concerns the topics of a test. */
export function forgedText(random: () => number): string {
  const entry = forgedEntry(random);
  return pick(random, [
    entry,
    `[1,${entry}]`,
    `[1,${entry}]`,
    `[1,${entry},${forgedEntry(random)}]`,
    `[2,${entry}]`,
    '[]',
  ]);
}

function forgedEntry(random: () => number): string {
  return pick(random, [
    ...['', 'nonsense', '{', 'null', '[]', '{"kind":7}'],
    '{"kind":"event","topic":"forged","data":"forged"}',
    '{"kind":"event","topic":"forged","data":{"of":"a newer shape"}}',
    '{"kind":"of a newer version","topic":"forged"}',
    '{"kind":"close","topic":"forged"}',
    '{"kind":"removeGroup","group":"forged","reconnect":false}',
    JSON.stringify({ kind: 'event', topic: 'forged', data: 'x'.repeat(5_000) }),
  ]);
}
