// Many clients in a process of their own, so that reading costs the server's event loop nothing, and what they remember
// is not the server's memory. Told by messages what to do: see crowd.ts.
import http from 'node:http';

const clients = [];
let latencies = [];

/** On the clock that all processes of the machine share. */
const now = () => performance.timeOrigin + performance.now();

function open(url) {
  return new Promise((resolve, reject) => {
    const client = { events: 0, gaps: 0, repeats: 0, next: 0, last: '', complete: false, ended: false };
    clients.push(client);
    const request = http.get(url, { agent: false }, (response) => {
      let rest = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        const blocks = (rest + chunk).split('\n\n');
        rest = blocks.pop();
        for (const block of blocks) take(client, block);
        resolve();
      });
      response.on('close', () => {
        client.ended = true;
        client.complete = response.complete;
      });
      response.on('error', () => {});
    });
    request.on('error', reject);
  });
}

function take(client, block) {
  client.last = block;
  const [, n, at] = /^data: \{"n":(\d+),"at":([\d.]+)/m.exec(block) ?? [];
  if (n === undefined) return;
  latencies.push(now() - Number(at));
  client.events++;
  if (Number(n) > client.next) client.gaps++;
  if (Number(n) < client.next) client.repeats++;
  client.next = Number(n) + 1;
}

/** Of all events since the last question. */
function p99() {
  const sorted = latencies.sort((a, b) => a - b);
  latencies = [];
  return sorted[Math.floor(sorted.length * 0.99)];
}

process.on('message', async ({ ask, url, count }) => {
  if (ask === 'clients') return process.send(clients);
  if (ask === 'p99') return process.send({ p99: p99() });
  for (let opened = 0; opened < count; opened += 100) {
    await Promise.all(Array.from({ length: Math.min(100, count - opened) }, () => open(url)));
  }
  process.send({ opened: count });
});
process.on('disconnect', () => process.exit());
