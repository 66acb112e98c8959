import type { Result, Row } from './runner.js';
import type { Column } from './scenarios.js';
import { median } from './statistics.js';

function valuesOf({ rounds }: Row, { key }: Column): number[] {
  return rounds.map((figures) => figures[key] ?? Number.NaN).filter((value) => !Number.isNaN(value));
}

function medianOf(row: Row, column: Column): number | undefined {
  const values = valuesOf(row, column);
  return values.length === 0 ? undefined : median(values);
}

function bestOf(rows: readonly Row[], role: Row['role'], column: Column): number | undefined {
  const medians = rows.filter((row) => row.role === role).flatMap((row) => medianOf(row, column) ?? []);
  return medians.length === 0 ? undefined : Math.min(...medians);
}

/** A summary of one row, for people and for machines. */
export function summaryOf(row: Row, { rows, columns, plain }: Result) {
  const main = columns[0]!;
  const values = valuesOf(row, main);
  const middle = medianOf(row, main);
  const ratioTo = (other: number | undefined) => (plain || middle === undefined || !other ? undefined : middle / other);
  return {
    medians: Object.fromEntries(columns.map((column) => [column.key, medianOf(row, column)])),
    range: values.length > 1 ? [Math.min(...values), Math.max(...values)] : undefined,
    toYardstick: ratioTo(bestOf(rows, 'yardstick', main)),
    toBestPeer: ratioTo(bestOf(rows, 'peer', main)),
  };
}

function cellsOf(row: Row, result: Result): string[] {
  const [main, ...others] = result.columns;
  const { medians, range, toYardstick, toBestPeer } = summaryOf(row, result);
  const show = ({ key, digits }: Column): string => medians[key]?.toFixed(digits) ?? 'n/a';
  const spread = range?.map((value) => value.toFixed(main!.digits)).join(' – ') ?? '';
  const name = row.role === 'ours' ? `**${row.label}**` : row.label;
  const ratios = [toYardstick, toBestPeer].map((ratio) => ratio?.toFixed(2) ?? '');
  return [name, show(main!), spread, ...(result.plain ? [] : ratios), ...others.map(show)];
}

/** A Markdown table that is aligned for a terminal too. */
export function tableOf(result: Result): string {
  const [main, ...others] = result.columns;
  const ratios = result.plain ? [] : ['× yardstick', '× best peer'];
  const header = ['', main!.label, 'min – max', ...ratios, ...others.map(({ label }) => label)];
  const lines = [header, ...result.rows.map((row) => cellsOf(row, result))];
  const widths = header.map((_, i) => Math.max(3, ...lines.map((cells) => cells[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  const absences = result.rows.flatMap(({ label, absence }) => (absence ? [`n/a: ${label}, because ${absence}.`] : []));
  const below = [...absences, ...(result.notes ?? [])];
  return [`### ${result.title}`, '', line(lines[0]!), rule, ...lines.slice(1).map(line), ...below, ''].join('\n');
}
