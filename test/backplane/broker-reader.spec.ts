import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';

import {
  AnotherEpoch,
  BrokerReader,
  type LogSource,
  LostEntries,
  MissingRight,
} from '../../src/backplane/broker/broker-reader.js';
import type { Progress } from '../../src/backplane/broker/progress.js';
import { until } from '../support/baseline.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';
import { event } from '../support/test-hub.js';

/** Reads what a test has written, and fails as it is told. */
class FakeSource implements LogSource<number> {
  epoch = 'first';
  readonly log: string[] = [];
  readonly renewed: string[] = [];
  readonly released: number[] = [];
  connections = 0;
  /** Thrown by the next attempts to connect. */
  readonly refusals: Error[] = [];
  #fail: (error: Error) => void = () => {};
  #stop: () => void = () => {};

  constructor(private readonly progress: Progress) {}

  connect(): Promise<number> {
    const refusal = this.refusals.shift();
    return refusal ? Promise.reject(refusal) : Promise.resolve(++this.connections);
  }

  read(): Promise<void> {
    const { progress } = this;
    if (progress.epoch !== undefined && progress.epoch !== this.epoch) throw new AnotherEpoch('It is another one.');
    if (progress.epoch === undefined) {
      progress.startOver(this.epoch);
      progress.begin({ ms: 0, seq: 0 });
    }
    this.readOn();
    progress.caughtUp();
    return new Promise((resolve, reject) => {
      this.#fail = reject;
      this.#stop = resolve;
    });
  }

  /** Hands over what was written since. */
  readOn(): void {
    const { progress } = this;
    const rest = this.log.slice(progress.last!.seq);
    if (rest.length === 0) return;
    const last = { ms: 0, seq: progress.last!.seq + rest.length };
    progress.deliver(
      progress.advance(
        last,
        rest.map((data) => event(data)),
      ),
    );
  }

  renew(_connection: number, epoch: string): Promise<void> {
    this.renewed.push(epoch);
    this.epoch = 'next';
    return Promise.resolve();
  }

  release(connection: number): void {
    this.released.push(connection);
  }

  stop(): void {
    this.#stop();
  }

  fail(error: Error): void {
    this.#fail(error);
  }
}

function start(prepare: (source: FakeSource) => void = () => {}, refuse: (error: Error) => boolean = () => false) {
  const hub = new LogRecorder();
  const calls: string[] = [];
  let source!: FakeSource;
  const listener = { settled: () => void calls.push('settled'), up: () => void calls.push('up'), refuse };
  const reader = new BrokerReader('The broker', hub, listener, (progress) => (source = new FakeSource(progress)));
  prepare(source);
  const over = reader.run();
  return { hub, calls, source, reader, over };
}

describe('who reads the log in a broker', () => {
  it('reads on behind the last entry when the connection has failed, on another', async () => {
    const { hub, source, reader, over } = start(({ log }) => void log.push('0', '1'));
    await until('it is up', () => reader.up);
    source.log.push('2');
    source.fail(new Error('cut'));
    await until('the rest has come', () => hub.data.length === 3);
    expect(hub.data).toEqual(['0', '1', '2']);
    expect(hub.epochs).toEqual(['first']);
    expect(source.released).toEqual([1]);
    expect(source.connections).toBe(2);
    expect(hub.warnings).toEqual([expect.stringContaining('(cut)'), expect.stringContaining('can be reached again')]);
    reader.close();
    await over;
    expect(source.released).toEqual([1, 2]);
  });

  it('tries again when it cannot connect, ever less often, and says so once', async () => {
    const { hub, calls, source, reader, over } = start(({ refusals }) => {
      refusals.push(new Error('refused'), new Error('refused'), new Error('refused'));
    });
    await until('it is up', () => reader.up);
    expect(source.released).toEqual([]);
    expect(hub.warnings).toHaveLength(2);
    expect(calls.at(-1)).toBe('up');
    reader.close();
    await over;
  });

  it('reads another epoch from the beginning, over the same connection, and tells why', async () => {
    const { hub, source, reader, over } = start(({ log }) => void log.push('0', '1'));
    await until('it is up', () => reader.up);
    let upMeanwhile: boolean | undefined;
    hub.warn = (message) => {
      hub.warnings.push(message);
      upMeanwhile = reader.up;
    };
    source.log.splice(0, 2, 'a');
    source.epoch = 'other';
    source.fail(new AnotherEpoch('It was flushed.'));
    await until('it begins anew', () => hub.epochs.length === 2 && reader.up);
    expect(hub.epochs).toEqual(['first', 'other']);
    expect(hub.data).toEqual(['a']);
    expect(hub.warnings).toEqual(['It was flushed. Clients are reset.']);
    expect(upMeanwhile).toBe(false);
    expect(source.renewed).toEqual([]);
    expect(source.connections).toBe(1);
    reader.close();
    await over;
  });

  it('ends the epoch in which entries were lost that it has handed out', async () => {
    const { hub, source, reader, over } = start(({ log }) => void log.push('0'));
    await until('it is up', () => reader.up);
    source.fail(new LostEntries('It ends before that.'));
    await until('it begins anew', () => hub.epochs.length === 2 && reader.up);
    expect(source.renewed).toEqual(['first']);
    expect(hub.epochs).toEqual(['first', 'next']);
    reader.close();
    await over;
  });

  it('gives up when a right is missing, if somebody still waits for its start', async () => {
    const error = new MissingRight('Allow it.', 'no');
    const refused: Error[] = [];
    const given = start(
      ({ refusals }) => void refusals.push(error),
      (cause) => refused.push(cause) > 0,
    );
    await until('it gives up', () => refused.length > 0);
    await given.over;
    expect(refused).toEqual([error]);
    expect(given.hub.warnings).toEqual([]);

    const { hub, reader, over } = start(({ refusals }) => void refusals.push(error));
    await until('it is up', () => reader.up);
    expect(hub.warnings[0]).toContain('Allow it.');
    reader.close();
    await over;
  });

  it('tells its hub nothing more once it is closed', async () => {
    const { hub, calls, source, reader, over } = start(({ log }) => void log.push('0'));
    await until('it is up', () => reader.up);
    reader.close();
    expect(reader.up).toBe(false);
    source.log.push('1');
    source.readOn();
    source.fail(new Error('late'));
    await over;
    await delay(100);
    expect(hub.data).toEqual(['0']);
    expect(hub.warnings).toEqual([]);
    expect(calls).toEqual(['settled', 'up']);
    expect(source.released).toEqual([1]);
    expect(source.connections).toBe(1);
  });
});
