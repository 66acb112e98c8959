// A Jest reporter: ends a run of the fault suite with what its tests measured, and its figures. `npm run faults`; with
// `-- --json` the figures are in Jest's JSON too, as `faults`.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, sep } from 'node:path';

const COLUMNS = ['faults', 'published', 'delivered', 'resets', 'checked', 'losses', 'duplicates'];

/** `faults/connections/slow-readers.spec.ts` belongs to the table of connections. */
const tableOf = (path) => basename(dirname(path));

const isOfSuite = (path) => path.split(sep).includes('faults');

export default class FaultReport {
  #folder = mkdtempSync(join(tmpdir(), 'nestjs-sse-hub-faults-'));
  #file = join(this.#folder, 'figures.jsonl');

  constructor() {
    // Handed on to the processes that run the tests.
    process.env.FAULT_FIGURES = this.#file;
  }

  onRunComplete(_, results) {
    const tables = new Map();
    const add = (path, figures) => {
      const table = tables.get(tableOf(path)) ?? Object.fromEntries(COLUMNS.map((column) => [column, 0]));
      for (const column of COLUMNS) table[column] += figures[column] ?? 0;
      tables.set(tableOf(path), table);
    };
    for (const { testFilePath, numPassingTests, numFailingTests } of results.testResults) {
      if (isOfSuite(testFilePath)) add(testFilePath, { faults: numPassingTests + numFailingTests });
    }
    const recorded = this.#recorded();
    for (const { path, ...figures } of recorded.filter(({ path }) => path && isOfSuite(path))) add(path, figures);
    rmSync(this.#folder, { recursive: true });
    const rows = Object.fromEntries([...tables].sort(([a], [b]) => a.localeCompare(b)));
    results.faults = rows;
    const notes = recorded.flatMap(({ note = [] }) => note).sort((a, b) => a.localeCompare(b));
    process.stderr.write(`\n${notes.join('\n')}\n\n${format({ ...rows, all: sum(Object.values(rows)) })}\n`);
  }

  #recorded() {
    try {
      return readFileSync(this.#file, 'utf8').trim().split('\n').map(JSON.parse);
    } catch {
      return [];
    }
  }
}

function sum(rows) {
  return Object.fromEntries(COLUMNS.map((column) => [column, rows.reduce((total, row) => total + row[column], 0)]));
}

/** What the checker says counts only where it has looked at something. */
function cell(row, column) {
  const unknown = row.checked === 0 && ['losses', 'duplicates'].includes(column);
  return unknown ? '–' : row[column].toLocaleString('en');
}

function format(rows) {
  const line = (cells) => `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(12) : cell.padStart(12))).join(' | ')} |`;
  return [
    line(['table', ...COLUMNS]),
    line(['---', ...COLUMNS.map(() => '---:')]),
    ...Object.entries(rows).map(([name, row]) => line([name, ...COLUMNS.map((column) => cell(row, column))])),
  ].join('\n');
}
