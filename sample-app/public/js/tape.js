/** The newest numbers of a flow as a row of cells, a row for each lane, with counters below. */

import { element } from './dom.js';

/** Pixels for a number. */
const CELL = 22;

const COUNTERS = [
  ['sent', 'Sent'],
  ['received', 'Received'],
  ['behind', 'On its way'],
  ['missing', 'Missing'],
  ['doubled', 'Duplicates'],
];

export class Tape {
  #account;
  #cells;
  #rows = new Map();
  #counters = new Map();
  #due = false;

  constructor(root, account) {
    this.#account = account;
    this.#cells = root.querySelector('.cells');
    for (const [name, title] of [...COUNTERS, ['told', 'Lost, and told']]) {
      const box = element('div', '', `counter ${name}`);
      const value = element('dd', '0');
      box.append(element('dt', title), value);
      // Only where it happened: without a loss there is nothing to say of it.
      box.hidden = name === 'told';
      root.querySelector('.counters').append(box);
      this.#counters.set(name, { box, value });
    }
    new ResizeObserver(() => this.show()).observe(this.#cells);
  }

  set account(account) {
    this.#account = account;
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
    this.show();
  }

  /** With the next picture, however many numbers came meanwhile. */
  show() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  #draw() {
    const account = this.#account;
    for (const [name, { box, value }] of this.#counters) {
      value.textContent = account[name].toLocaleString();
      box.classList.toggle('some', account[name] > 0);
      if (name === 'told') box.hidden = account.told === 0;
    }
    const fitting = Math.max(8, Math.floor(this.#cells.clientWidth / CELL));
    for (const [name, lane] of account.lanes) this.#drawLane(name, lane, fitting);
    this.#cells.setAttribute(
      'aria-label',
      `${account.received} received, ${account.behind} on their way, ${account.missing} missing, ${account.doubled} duplicates`,
    );
  }

  #drawLane(name, { newest, states }, fitting) {
    const row = this.#row(name, fitting);
    for (const [i, cell] of [...row.children].entries()) {
      const n = newest - fitting + 1 + i;
      const state = states.get(n) ?? '';
      if (cell.dataset.state !== state) cell.dataset.state = state;
      const label = n > 0 && n % 10 === 0 && state ? String(n) : '';
      if (cell.dataset.n !== label) cell.dataset.n = label;
    }
  }

  #row(name, fitting) {
    let row = this.#rows.get(name);
    if (!row) {
      row = element('div', '', 'row');
      row.title = name;
      this.#rows.set(name, row);
      this.#cells.append(row);
    }
    while (row.children.length > fitting) row.lastElementChild.remove();
    while (row.children.length < fitting) row.append(document.createElement('i'));
    return row;
  }
}
