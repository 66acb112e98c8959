/** A crowd of clients in a process of its own, and what it measures. */

import { Chart } from './charts.js';
import { byId, count, milliseconds } from './dom.js';
import { doing, onClick, onSubmit, request } from './server.js';

const perSecond = new Chart(
  'load-figures',
  'Deliveries a second',
  undefined,
  (value) => Math.round(value).toLocaleString(),
  100,
);
const delay = new Chart('load-figures', 'Delay', ['p50', 'p99'], milliseconds, 10);

function showLoad({ state, clients, connected, perSecond: deliveries, p50, p99, message }) {
  const going = state === 'starting' || state === 'running';
  byId('stop-load').hidden = !going;
  if (state === 'running') {
    perSecond.add(deliveries);
    delay.add(p50, p99);
  }
  const note = going ? `${connected} of ${count(clients, 'client')} are there.` : 'Nobody is there but you.';
  byId('load-note').textContent = message ? `${note} ${message}` : note;
}

export const loading = { load: showLoad };

export function startLoad() {
  onSubmit('load-form', async ({ clients, rate }) => {
    showLoad(await request('POST', '/load', { clients: Number(clients), rate: Number(rate) }));
  });
  onClick('stop-load', () => request('DELETE', '/load'));
  void doing(async () => {
    const load = await request('GET', '/load');
    if (load?.state) showLoad(load);
  })();
}
