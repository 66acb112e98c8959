// Runs in a process of its own, so that reading costs the server's event loop nothing: opens many streams at once, each
// with the same last event ID, and counts the events that come.
import http from 'node:http';

const { url, clients, lastEventId, expected } = JSON.parse(process.argv[2]);
const counts = [];

function countEvents(text) {
  return text.split('\nevent: n\n').length - 1 + (text.startsWith('event: n\n') ? 1 : 0);
}

function openOne() {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, headers: { 'last-event-id': lastEventId } }, (response) => {
      let count = 0;
      let rest = '';
      response.setEncoding('latin1');
      response.on('data', (chunk) => {
        const text = rest + chunk;
        const end = text.lastIndexOf('\n\n');
        if (end < 0) {
          rest = text;
          return;
        }
        count += countEvents(text.slice(0, end + 1));
        // The line break before an event's first line is looked for, so it stays.
        rest = text.slice(end + 1);
        if (count >= expected) {
          counts.push(count);
          request.destroy();
          resolve();
        }
      });
      response.on('error', resolve);
    });
    request.on('error', reject);
  });
}

await Promise.all(Array.from({ length: clients }, openOne));
process.send(counts);
process.disconnect();
