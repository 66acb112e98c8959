/** The figures of the node that serves this page, and the orders of all nodes. */

import { Chart } from './charts.js';
import { addLine, byId, line, milliseconds, percent } from './dom.js';
import { onSubmit, request } from './server.js';

const whole = (value) => Math.round(value).toLocaleString();

const charts = {
  cpu: new Chart('figures', 'CPU', ['process', 'machine'], percent, 100),
  memory: new Chart('figures', 'Memory of the process', undefined, (value) => `${value.toFixed(0)} MB`, 100),
  delay: new Chart('figures', 'Event-loop delay, p99', undefined, milliseconds, 5),
  streams: new Chart('figures', 'Open streams', undefined, whole, 5),
  events: new Chart('figures', 'Events a second', ['delivered', 'published'], whole, 20),
};

const orderLine = ({ id, item, quantity, by }) => {
  const made = line(`${quantity} × ${item}`, by);
  made.dataset.id = id;
  return made;
};

let machineCpu = null;

export const watching = {
  machine: ({ cpuPercent }) => (machineCpu = cpuPercent),
  process: ({ node, cpuPercent, memoryBytes, eventLoopDelayMs, openStreams, ...events }) => {
    byId('node').textContent = node;
    charts.cpu.add(cpuPercent, machineCpu);
    charts.memory.add(memoryBytes / 2 ** 20);
    charts.delay.add(eventLoopDelayMs);
    charts.streams.add(openStreams);
    charts.events.add(events.eventsPerSecond, events.publishedPerSecond);
  },
  orders: (orders) => byId('orders').replaceChildren(...orders.map(orderLine)),
  order: (order) => {
    // Ordered in the moment in which the stream began, it is in its beginning, too.
    const isThere = [...byId('orders').children].some(({ dataset }) => dataset.id === order.id);
    if (!isThere) addLine(byId('orders'), orderLine(order), 8);
  },
};

export function startDashboard() {
  onSubmit('order-form', ({ item, quantity }) =>
    request('POST', '/dashboard/orders', { item, quantity: Number(quantity) }),
  );
}
