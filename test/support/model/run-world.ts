import { setTimeout as delay } from 'node:timers/promises';

import { type EventEntry, SSEError, type SSERun, SSEService } from 'nestjs-sse-hub';
import { TestLog, type TestNode } from 'nestjs-sse-hub/testing';
import type { Subscription } from 'rxjs';

import type { Entry, RunEndEntry, RunEntry } from '../../../src/protocol/entry.js';
import { LogRecorder } from '../brokers/log-recorder.js';
import { integer, pick } from '../seed.js';

const TOPICS = ['t', 'u'] as const;
const NODES = 3;
const WAYS = ['join', 'replace', 'reject'] as const;
const REFUSALS = new Set(['RUN_EXISTS', 'SHUTTING_DOWN']);
/** Milliseconds that everything has to be as it should when nothing more happens: others wait as long as that for the dead. */
const TO_SETTLE = 40_000;

/** Work that gives some numbers and then finishes, fails, or hangs until it is told. */
class Source {
  signal: AbortSignal | undefined;
  isDone = false;
  isTold = false;
  tell: () => void = () => {};

  constructor(
    private readonly label: string,
    private readonly count: number,
    private readonly then: 'finish' | 'fail' | 'hang',
  ) {}

  readonly work = async function* (this: Source, signal: AbortSignal): AsyncGenerator<{ of: string; n: number }> {
    this.signal = signal;
    try {
      for (let n = 0; n < this.count; n++) {
        yield { of: this.label, n };
        await delay(n % 3);
      }
      if (this.then === 'fail') throw new Error('the source fails');
      if (this.then === 'hang' && !this.isTold) await new Promise<void>((resolve) => (this.tell = resolve));
    } finally {
      this.isDone = true;
    }
  }.bind(this);
}

/** One who watches all of a topic. */
interface Viewer {
  readonly node: Node;
  readonly topic: string;
  hasEnded: boolean;
  readonly subscription: Subscription;
}

interface Node {
  readonly name: string;
  readonly view: TestNode;
  readonly sse: SSEService;
  /** What it has delivered on each topic. */
  readonly seen: Record<string, string[]>;
  /** It may have missed something. */
  isLossy: boolean;
  state: 'up' | 'stopped' | 'dead';
}

interface Handle {
  readonly node: Node;
  readonly label: string;
  readonly source: Source;
  readonly run: SSERun;
  outcome: string | undefined;
}

/** What the log says, by the few rules that there are, told apart from how the hub keeps them. */
class Judge {
  readonly delivered: Record<string, string[]> = { t: [], u: [] };
  readonly outcomes = new Map<string, string>();
  readonly #current = new Map<string, { id: string; state: 'running' | 'ending' | 'over'; outcome?: string }>();

  constructor(entries: readonly (Entry | undefined)[]) {
    for (const entry of entries) {
      if (entry?.kind === 'run') this.#begin(entry);
      else if (entry?.kind === 'endRun') this.#end(entry);
      else if (entry?.kind === 'close') this.#end({ kind: 'endRun', topic: entry.topic, outcome: 'cancelled' });
      else if (entry?.kind === 'event' && entry.run !== undefined) this.#take(entry);
    }
  }

  #begin({ topic, run }: RunEntry): void {
    const current = this.#current.get(topic);
    // Said once more by a node that has not read that it has begun.
    if (current?.id === run) return;
    if (!current || current.state === 'over') this.#current.set(topic, { id: run, state: 'running' });
  }

  #take({ topic, run, event, data, text, ends }: EventEntry): void {
    const current = this.#current.get(topic!);
    if (current?.id !== run || current?.state !== 'running') return;
    if (ends !== undefined) Object.assign(current, { state: 'ending', outcome: ends });
    this.delivered[topic!]!.push(JSON.stringify([event, text ? data : JSON.parse(data)]));
  }

  #end({ topic, run, outcome }: RunEndEntry): void {
    const current = this.#current.get(topic);
    if (!current || current.state === 'over' || (run !== undefined && run !== current.id)) return;
    current.state = 'over';
    // What its viewers were told is what holds.
    this.outcomes.set(current.id, current.outcome ?? outcome);
  }
}

/** Three nodes on one log, runs on two topics, and whatever may happen to them. */
export class RunWorld {
  readonly faults: string[] = [];
  readonly story: string[] = [];
  readonly figures = { started: 0, cancelled: 0, viewers: 0, delivered: 0 };
  readonly #log = new TestLog();
  readonly #recorder = new LogRecorder();
  readonly #nodes: Node[] = [];
  readonly #handles: Handle[] = [];
  readonly #viewers: Viewer[] = [];
  readonly #shutdowns: Promise<void>[] = [];
  #count = 0;
  #isFlushed = false;

  constructor(
    private readonly random: () => number,
    /** Whether nodes may miss entries, be cut off and die, and the log be emptied. */
    private readonly isLossy: boolean,
  ) {}

  async run(steps: number): Promise<void> {
    await this.#log.start(this.#recorder);
    for (let i = 0; i < NODES; i++) this.#nodes.push(await this.#startNode());
    for (let step = 0; step < steps; step++) {
      await this.#step();
      if (this.random() < 0.6) await delay(integer(this.random, 0, 12));
    }
    await this.#settle();
  }

  /** Everybody leaves. */
  async end(): Promise<void> {
    for (const { subscription } of this.#viewers) subscription.unsubscribe();
    for (const { sse } of this.#nodes) this.#shutdowns.push(sse.shutdown());
    await Promise.all(this.#shutdowns);
  }

  async #startNode(): Promise<Node> {
    const view = this.#log.node();
    const sse = new SSEService({ backplane: view, drainTimeout: 20, heartbeatInterval: 0 });
    const name = `n${this.#count++}`;
    const seen: Record<string, string[]> = {};
    // What was there before it, it does not deliver.
    const node: Node = { name, view, sse, seen, isLossy: this.#recorder.entries.length > 0, state: 'up' };
    for (const topic of TOPICS) {
      const got: string[] = (seen[topic] = []);
      sse.observe(topic).subscribe(({ event, data }) => got.push(JSON.stringify([event, data])));
    }
    await sse.start();
    return node;
  }

  get #up(): Node[] {
    return this.#nodes.filter(({ state }) => state === 'up');
  }

  async #step(): Promise<void> {
    const { random } = this;
    const node = pick(random, this.#up);
    const topic = pick(random, TOPICS);
    const acts: [number, string, () => unknown][] = [
      [8, 'start', () => this.#start(node, topic, pick(random, WAYS))],
      [4, 'cancel', () => this.#cancel(node, topic)],
      [4, 'view', () => this.#view(node, topic)],
      [3, 'hold', () => node.view.hold()],
      [3, 'readSome', () => node.view.readSome(integer(random, 1, 4))],
      [4, 'release', () => node.view.release()],
      [3, 'tell', () => this.#tell()],
      [1, 'stop', () => this.#replace(node, 'stopped')],
      [1, 'close', () => node.sse.closeTopic(topic)],
    ];
    if (this.isLossy) {
      acts.push(
        [2, 'lose', () => this.#lose(node)],
        [1, 'down', () => node.view.down()],
        [2, 'up', () => node.view.up()],
        [0.5, 'die', () => this.#replace(node, 'dead')],
        [0.3, 'flush', () => this.#flush()],
      );
    }
    let at = random() * acts.reduce((sum, [weight]) => sum + weight, 0);
    const [, name, act] = acts.find(([weight]) => (at -= weight) < 0)!;
    this.#note(`${name} ${node.name} ${topic}`);
    await act();
  }

  #start(node: Node, topic: string, onRunning: (typeof WAYS)[number]): void {
    const label = `r${this.#count++}`;
    const then = pick(this.random, ['finish', 'fail', 'hang', 'hang'] as const);
    const source = new Source(label, integer(this.random, 0, 6), then);
    const options = pick(this.random, [
      {},
      { cancelled: { event: 'cancelled', data: label } },
      { last: { data: label } },
    ]);
    this.figures.started++;
    try {
      const run = node.sse.run(topic, source.work, { onRunning, ...options });
      const handle: Handle = { node, label, source, run, outcome: undefined };
      this.#handles.push(handle);
      this.#note(`  ${label} is ${run.id} (${onRunning}, ${then})`);
      run.done.then(
        (outcome) => (handle.outcome = outcome),
        (error: unknown) => (handle.outcome = error instanceof SSEError ? error.code : String(error)),
      );
    } catch (error) {
      if (!(error instanceof SSEError && error.code === 'RUN_EXISTS' && onRunning === 'reject')) throw error;
    }
  }

  #cancel(node: Node, topic: string): void {
    const older = this.#handles.filter(({ run }) => run.topic === topic).map(({ run }) => run.id);
    const id = older.length > 0 && this.random() < 0.5 ? pick(this.random, older) : undefined;
    this.figures.cancelled++;
    this.#note(`  ${id}`);
    node.sse.cancelRun(topic, { ...(id !== undefined && { id }), reason: 'stopped' });
  }

  #view(node: Node, topic: string): void {
    this.figures.viewers++;
    const viewer = { node, topic, hasEnded: false };
    const subscription = node.sse.stream(topic, { from: 0 }).subscribe({
      complete: () => (viewer.hasEnded = true),
      error: (error: unknown) => this.faults.push(`a viewer fails: ${String(error)}`),
    });
    this.#viewers.push(Object.assign(viewer, { subscription }));
  }

  #tell(): void {
    const hanging = this.#handles.filter(({ source }) => source.signal && !source.isDone);
    if (hanging.length > 0) this.#finish(pick(this.random, hanging).source);
  }

  #finish(source: Source): void {
    source.isTold = true;
    source.tell();
  }

  #lose(node: Node): void {
    node.isLossy = true;
    node.view.lose(integer(this.random, 1, 3));
  }

  #flush(): void {
    this.#isFlushed = true;
    for (const node of this.#nodes) node.isLossy = true;
    this.#log.flush();
  }

  /** One goes, in order or not, and another one comes. */
  async #replace(node: Node, state: 'stopped' | 'dead'): Promise<void> {
    node.state = state;
    if (state === 'dead') node.view.down();
    else {
      node.view.up();
      node.view.release();
      this.#shutdowns.push(node.sse.shutdown());
    }
    this.#nodes.push(await this.#startNode());
  }

  async #settle(): Promise<void> {
    this.#note('settle');
    for (const { view } of this.#up) {
      view.up();
      view.release();
    }
    // Behind all that is still to be lost.
    for (let i = 0; i < 12; i++) await this.#up[0]!.sse.publish('noise', 'n', i);
    const until = performance.now() + TO_SETTLE;
    let open = this.#open();
    while (open.length > 0 && performance.now() < until) {
      for (const { source } of this.#handles) this.#finish(source);
      await delay(50);
      open = this.#open();
    }
    this.faults.push(...open);
    if (open.length > 0) return;
    this.#check();
    await this.#startOver();
  }

  /** What is still to come. */
  #open(): string[] {
    const open: string[] = [];
    for (const { node, label, run, source, outcome } of this.#handles) {
      if (node.state === 'dead') continue;
      if (outcome === undefined) open.push(`done of ${label} (${run.id}) on ${node.name} does not settle`);
      if (source.signal && !source.isDone && !source.signal.aborted) open.push(`the source of ${label} goes on`);
    }
    for (const topic of TOPICS) {
      const known = this.#up.map(({ name, sse, isLossy }) => ({ name, isLossy, run: sse.getRun(topic) }));
      for (const { name, run } of known) {
        if (run?.state === 'running') open.push(`${run.id} is running on ${topic}, says ${name}`);
      }
      // One that has missed something may know nothing of what is over.
      const states = new Set(known.flatMap(({ run, isLossy }) => (isLossy || !run ? [] : [`${run.id} ${run.state}`])));
      if (states.size > 1) open.push(`they do not agree on ${topic}: ${[...states].join(', ')}`);
    }
    return open;
  }

  #check(): void {
    if (this.#isFlushed) return;
    const judge = new Judge(this.#recorder.entries.map(({ entry }) => entry));
    for (const topic of TOPICS) {
      const expected = judge.delivered[topic]!;
      this.figures.delivered += expected.length;
      for (const { name, seen, isLossy, state } of this.#nodes) {
        if (isLossy || state !== 'up') continue;
        const got = seen[topic]!;
        const wrong = Math.max(
          expected.findIndex((text, i) => got[i] !== text),
          got.findIndex((text, i) => expected[i] !== text),
        );
        if (wrong >= 0) this.faults.push(`${name} delivered ${got[wrong]} instead of ${expected[wrong]} on ${topic}`);
      }
    }
    for (const { node, label, run, outcome } of this.#handles) {
      if (node.state === 'dead' || this.isLossy) continue;
      const expected = judge.outcomes.get(run.id);
      if (outcome !== expected && !REFUSALS.has(outcome!)) {
        this.faults.push(`${label} (${run.id}) on ${node.name} came out as ${outcome}, and the log says ${expected}`);
      }
    }
  }

  /** One more run on each topic, which ends the streams of all who are there. */
  async #startOver(): Promise<void> {
    for (const topic of TOPICS) {
      const [{ sse }] = this.#up as [Node, ...Node[]];
      const outcome = await sse.run(topic, () => [1, 2], { onRunning: 'replace' }).done.catch(String);
      if (outcome !== 'finished') this.faults.push(`the last run on ${topic} came out as ${outcome}`);
      for (const node of this.#up) {
        const state = node.sse.getRun(topic)?.state;
        if (state !== 'finished') this.faults.push(`${node.name} says of the last run on ${topic}: ${state}`);
      }
    }
    await delay(20);
    for (const { node, topic, hasEnded } of this.#viewers) {
      if (node.state === 'up' && !hasEnded) this.faults.push(`a viewer of ${topic} on ${node.name} hangs`);
    }
  }

  #note(text: string): void {
    this.story.push(text);
  }
}
