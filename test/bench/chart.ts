import type { Result, Row } from './runner.js';
import { summaryOf } from './table.js';

const WIDTH = 720;
const LABELS = 230;
const FIGURES = 70;
const BAR = 16;
const STEP = 24;
const TITLE = 40;
const MARGIN = 16;

const COLOURS: Readonly<Record<Row['role'], string>> = {
  ours: '#e0234e',
  yardstick: '#6b7280',
  floor: '#6b7280',
  peer: '#a8b0bd',
};

interface Bar {
  readonly label: string;
  readonly value: number;
  readonly colour: string;
}

/** The first column of each result as bars, on one scale, the least first. */
export function chartOf(results: readonly Result[]): string {
  const panels = results.map((result) => ({ title: titleOf(result), bars: barsOf(result) }));
  const longest = Math.max(...panels.flatMap(({ bars }) => bars.map(({ value }) => value)));
  const parts: string[] = [];
  let y = MARGIN;
  for (const { title, bars } of panels) {
    parts.push(text({ x: MARGIN, y: y + 18, anchor: 'start', weight: 600 }, title));
    y += TITLE;
    for (const bar of bars) {
      parts.push(...barAt(y, bar, longest));
      y += STEP;
    }
    y += MARGIN;
  }
  const font = 'font-family="system-ui, sans-serif" font-size="13" fill="#1f2430"';
  const ground = `<rect width="${WIDTH}" height="${y}" rx="8" fill="#ffffff"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" ${font}>`,
    ...[ground, ...parts].map((part) => `  ${part}`),
    '</svg>\n',
  ].join('\n');
}

function titleOf({ title, columns }: Result): string {
  return `${title}: ${columns[0]!.label}`;
}

function barsOf(result: Result): Bar[] {
  const main = result.columns[0]!.key;
  const bars = result.rows.flatMap((row) => {
    const value = summaryOf(row, result).medians[main];
    return value === undefined ? [] : [{ label: row.label, value, colour: COLOURS[row.role] }];
  });
  return bars.toSorted((a, b) => a.value - b.value);
}

function barAt(y: number, { label, value, colour }: Bar, longest: number): string[] {
  const length = Math.max(1, Math.round((value / longest) * (WIDTH - LABELS - FIGURES - MARGIN)));
  const weight = colour === COLOURS.ours ? 600 : 400;
  return [
    text({ x: LABELS - 8, y: y + 13, anchor: 'end', weight }, label),
    `<rect x="${LABELS}" y="${y}" width="${length}" height="${BAR}" rx="2" fill="${colour}"/>`,
    text({ x: LABELS + length + 6, y: y + 13, anchor: 'start', weight }, value.toFixed(1)),
  ];
}

interface Place {
  readonly x: number;
  readonly y: number;
  readonly anchor: 'start' | 'end';
  readonly weight: number;
}

function text({ x, y, anchor, weight }: Place, content: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-weight="${weight}">${escaped}</text>`;
}
