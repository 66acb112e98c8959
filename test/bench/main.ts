import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { LEGEND as BROKERS_LEGEND, runBrokers } from './brokers/run.js';
import { chartOf } from './chart.js';
import { describeMachine, machineLine } from './machine.js';
import { type Result, runGroups } from './runner.js';
import { stopAll } from './running.js';
import { FULL, QUICK } from './scenarios.js';
import { summaryOf, tableOf } from './table.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    contenders: { type: 'string', default: '' },
    chart: { type: 'string', default: '' },
  },
});

const brokers = positionals.includes('brokers');
if (positionals.length > (brokers ? 1 : 0)) throw new Error('npm run bench -- [brokers] [options]');

/** Whatever happens, a run ends. */
const TIME_LIMIT = (brokers ? 10 : options.quick ? 4 : 25) * 60_000;

const LEGEND = [
  'Server CPU is user and system time of the server process; the load generator is another process.',
  'Peers are what is neither the yardstick, nor the floor, nor (in bold) this library.',
];

const started = Date.now();

function progress(line: string): void {
  process.stderr.write(`${((Date.now() - started) / 1_000).toFixed(1).padStart(6)} s  ${line}\n`);
}

async function giveUp(reason: string, code: number): Promise<never> {
  progress(reason);
  await stopAll();
  process.exit(code);
}

function toJson(results: readonly Result[]): string {
  const scenarios = results.map((result) => ({
    key: result.key,
    title: result.title,
    columns: result.columns,
    rows: result.rows.map((row) => ({ ...row, ...summaryOf(row, result) })),
  }));
  return JSON.stringify({ machine, rounds: Number(options.rounds), seconds: elapsed(), scenarios }, undefined, 2);
}

function toText(results: readonly Result[]): string {
  const head = [
    machineLine(machine),
    `Medians of ${options.rounds} interleaved rounds; ${elapsed()} s in all.`,
    ...(brokers ? BROKERS_LEGEND : LEGEND),
    '',
  ];
  return [...head, ...results.map(tableOf)].join('\n');
}

function elapsed(): number {
  return Math.round((Date.now() - started) / 1_000);
}

function listOf(text: string): string[] {
  return text === '' ? [] : text.split(',');
}

process.once('SIGINT', () => void giveUp('interrupted', 130));
process.once('SIGTERM', () => void giveUp('terminated', 143));
setTimeout(() => void giveUp('out of time', 1), TIME_LIMIT).unref();

const machine = describeMachine();
progress(machineLine(machine));
try {
  const runOptions = {
    rounds: Number(options.rounds),
    only: listOf(options.only),
    contenders: listOf(options.contenders),
    progress,
  };
  const results = await (brokers ? runBrokers(runOptions) : runGroups(options.quick ? QUICK : FULL, runOptions));
  if (options.chart !== '') writeFileSync(options.chart, chartOf(results));
  process.stdout.write(`${options.json ? toJson(results) : toText(results)}\n`);
} finally {
  await stopAll();
}
