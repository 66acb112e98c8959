// A process of its own, so that reading thousands of streams does not take the time of the server that is measured.
// Plain JavaScript: it is run as it stands, whether the application is built or tested.
import { connect } from 'node:net';

/** @typedef {{ host: string, port: number, path: string, clients: number }} Task */

/** Opened at a time: a listener has a queue of some hundreds. */
const BATCH = 100;
/** Milliseconds. */
const OPEN_TIMEOUT = 10_000;
const REPORT_INTERVAL = 1_000;

let opening = true;
let connected = 0;
/** @type {number[]} */
let delays = [];
/** How many could not be opened, or have ended, by the reason. @type {Map<string, number>} */
const troubles = new Map();

process.once('message', (/** @type {Task} */ task) => void openAll(task));
// The application is gone: nobody would stop this process.
process.once('disconnect', () => process.exit());

/** @param {Task} task */
async function openAll(task) {
  setInterval(report, REPORT_INTERVAL);
  for (let opened = 0; opened < task.clients; opened += BATCH) {
    const batch = Math.min(BATCH, task.clients - opened);
    await Promise.all(Array.from({ length: batch }, () => open(task)));
  }
  opening = false;
}

/** Settles when the stream is open, or will not be. @param {Task} task @returns {Promise<void>} */
function open({ host, port, path }) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let isOpen = false;
    let rest = '';
    /** @param {string} reason */
    const fail = (reason) => {
      socket.removeAllListeners('close').destroy();
      troubles.set(reason, (troubles.get(reason) ?? 0) + 1);
      if (isOpen) connected--;
      resolve();
    };
    socket.setEncoding('latin1').setNoDelay();
    socket.setTimeout(OPEN_TIMEOUT, () => fail(`no stream within ${OPEN_TIMEOUT} ms`));
    // Else a stream that the server ends would leave its connection open for the next request.
    const request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n`;
    socket.once('connect', () => socket.write(request));
    socket.once('error', (/** @type {NodeJS.ErrnoException} */ { code, message }) => fail(code ?? message));
    socket.once('close', () => fail('ended by the server'));
    socket.on('data', (/** @type {string} */ text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith('data: {"at":')) delays.push(now() - Number.parseFloat(line.slice('data: {"at":'.length)));
        else if (!isOpen && line === 'event: sse.open') {
          isOpen = true;
          connected++;
          socket.setTimeout(0);
          resolve();
        } else if (line === 'event: sse.busy') return fail('turned away: the hub has as many clients as it may');
        else if (line.startsWith('HTTP/') && !line.includes(' 200 ')) return fail(`answered ${line.trim()}`);
      }
    });
  });
}

function report() {
  const sorted = Float64Array.from(delays).sort();
  delays = [];
  const at = (/** @type {number} */ share) => Math.round((sorted[Math.floor(sorted.length * share)] ?? 0) * 10) / 10;
  const told = [...troubles].map(([reason, count]) => `${count} × ${reason}`).join(', ');
  process.send?.({
    state: opening ? 'starting' : 'running',
    connected,
    perSecond: sorted.length,
    p50: at(0.5),
    p99: at(0.99),
    ...(told !== '' && { message: `Not open: ${told}.` }),
  });
}

/** The time of the machine, finer than Date.now(). */
function now() {
  return performance.timeOrigin + performance.now();
}
