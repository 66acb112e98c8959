/** Small charts of the last minute, each with its newest value above. */

import uPlot from '../vendor/uplot.js';

import { byId, element } from './dom.js';

const SECONDS = 60;
const HEIGHT = 92;

const charts = new Set();
const scheme = matchMedia('(prefers-color-scheme: dark)');
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A figure over time, or several that share a scale. `ceiling` is the least that the scale reaches to. */
export class Chart {
  #data;
  #plot;
  #show;
  #outputs;
  #ceiling;
  #box;

  constructor(container, title, lines, show, ceiling) {
    const names = lines ?? [''];
    this.#show = show;
    this.#ceiling = ceiling;
    this.#data = Array.from({ length: names.length + 1 }, () => []);
    const figure = element('figure', '', 'chart');
    const caption = element('figcaption', title);
    this.#outputs = names.map((name) => {
      const output = element('output', '–');
      if (name) caption.append(element('small', name));
      caption.append(output);
      return output;
    });
    this.#box = element('div');
    this.#box.setAttribute('aria-hidden', 'true');
    figure.append(caption, this.#box);
    byId(container).append(figure);
    this.#draw(names.length);
    new ResizeObserver(() => this.#plot.setSize({ width: this.#box.clientWidth, height: HEIGHT })).observe(this.#box);
    charts.add(this);
  }

  add(...values) {
    const [times, ...series] = this.#data;
    times.push(Date.now() / 1000);
    for (const [i, value] of values.entries()) {
      series[i].push(value);
      this.#outputs[i].textContent = value === null ? '–' : this.#show(value);
    }
    if (times.length > SECONDS) for (const each of this.#data) each.shift();
    this.#plot.setData(this.#data);
  }

  redraw() {
    this.#plot.destroy();
    this.#draw(this.#outputs.length);
  }

  #draw(lines) {
    const axis = { stroke: colour('--soft'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
    const strokes = [colour('--cool'), colour('--wait')];
    const ceiling = this.#ceiling;
    this.#plot = new uPlot(
      {
        width: Math.max(this.#box.clientWidth, 100),
        height: HEIGHT,
        padding: [8, 0, 8, 0],
        cursor: { show: false },
        legend: { show: false },
        scales: { y: { range: (_plot, _least, most) => [0, Math.max(ceiling, most * 1.1)] } },
        axes: [{ show: false }, { ...axis, size: 46, values: (_plot, ticks) => ticks.map(shortNumber) }],
        series: [{}, ...strokes.slice(0, lines).map((stroke) => ({ stroke, width: 1.5, points: { show: false } }))],
      },
      this.#data,
      this.#box,
    );
  }
}

function shortNumber(value) {
  if (value >= 1e6) return `${value / 1e6}M`;
  return value >= 1e3 ? `${value / 1e3}k` : String(value);
}

scheme.addEventListener('change', () => {
  for (const chart of charts) chart.redraw();
});
