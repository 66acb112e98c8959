// Runs in a process of its own, so that reading costs the server's event loop nothing: opens many streams at once, each
// with the same last event ID, and says of each how many events came, and how many were not the next one, from 0 on.
import http from 'node:http';

const { url, clients, lastEventId, expected } = JSON.parse(process.argv[2]);

function openOne() {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, headers: { 'last-event-id': lastEventId } }, (response) => {
      const client = { events: 0, wrong: 0 };
      let rest = '';
      response.setEncoding('latin1');
      response.on('data', (chunk) => {
        const text = rest + chunk;
        const end = text.lastIndexOf('\n\n') + 1;
        rest = text.slice(end);
        for (const [, n] of text.slice(0, end).matchAll(/^data: \{"n":(\d+)/gm)) {
          if (Number(n) !== client.events) client.wrong++;
          client.events++;
        }
        if (client.events < expected) return;
        resolve(client);
        request.destroy();
      });
      response.on('close', () => resolve(client));
      response.on('error', () => {});
    });
    request.on('error', reject);
  });
}

process.send(await Promise.all(Array.from({ length: clients }, openOne)));
process.disconnect();
