import { setTimeout as sleep } from 'node:timers/promises';

import { Child } from '../child.js';
import type { GeneratorRequests } from '../messages.js';
import type { HostedBroker } from './hosted-broker.js';
import { type NodeRequests, OBSERVED, type PublishRequest } from './messages.js';
import type { System } from './systems.js';

const TOPIC = 'topic-0';
const CONNECTING = 50;
const PATIENCE = 30_000;
/** Milliseconds in which nodes without clients read what others have published. */
const AFTERWORK = 200;

/** CPU time in microseconds. */
export interface Work {
  readonly nodes: number;
  /** Of each of them. */
  readonly each: readonly number[];
  readonly broker: number;
}

interface Member {
  readonly node: Child<NodeRequests>;
  readonly port: number;
}

/** A system's nodes, and the load generator that is connected to them: a process each. */
export class Cluster {
  readonly generator = new Child<GeneratorRequests>('./generator.js');
  readonly #members: Member[] = [];
  clients = 0;

  constructor(
    readonly system: System,
    private readonly broker: HostedBroker | undefined,
  ) {
    this.generator.onNote = () => {
      for (const { node } of this.#members) node.tell('go');
    };
  }

  async start(prefix: string): Promise<void> {
    for (let i = 0; i < this.system.nodes; i++) await this.#startNode(prefix);
  }

  async #startNode(prefix: string): Promise<void> {
    const node = new Child<NodeRequests>('./brokers/node-process.js', ['--expose-gc']);
    const member = { node, port: 0 };
    this.#members.push(member);
    const { kind } = this.system;
    const broker = this.broker && { kind: this.broker.kind, url: this.broker.url };
    member.port = (await node.ask('start', { kind, prefix, broker, observes: this.#members.length === 1 })).port;
  }

  /** Opens as many at each node, and waits until the nodes count them. */
  async connect(clients: number): Promise<void> {
    const socketIo = this.system.kind === 'socket.io';
    const path = socketIo ? `/socket.io/?EIO=4&transport=websocket&topics=${TOPIC}` : `/events/${TOPIC}`;
    const share = clients / this.#members.length;
    for (const { port } of this.#members) {
      const request = { port, clients: share, paths: [path], gzip: false, socketIo, concurrency: CONNECTING };
      await this.generator.ask('connect', request);
    }
    for (const { node } of this.#members) {
      await this.#until(async () => (await node.ask('clients', {})).clients >= share);
    }
    this.clients = clients;
  }

  /** All nodes publish their share of the events, of the window and of what a `go` allows. */
  async publish({
    events,
    window,
    every,
    perGo,
    size,
  }: Omit<PublishRequest, 'topic' | 'after' | 'perTurn'>): Promise<void> {
    const nodes = this.#members.length;
    const requestOf = (i: number): PublishRequest => ({
      topic: TOPIC,
      size,
      events: events / nodes,
      window: window / nodes,
      ...(every !== undefined && { every: every * nodes, after: every * i }),
      ...(perGo !== undefined && { perGo: perGo / nodes }),
    });
    await Promise.all(this.#members.map(({ node }, i) => node.ask('publish', requestOf(i))));
  }

  /** The first node publishes, for its observer, so many at a time as soon as the log has those before. */
  async publishTogether(events: number, together: number, size: number): Promise<void> {
    const request = { topic: OBSERVED, size, events, window: together, perTurn: together };
    await this.#members[0]!.node.ask('publish', request);
  }

  /** The CPU time that something takes, including what nodes do after it. */
  async weigh(act: () => Promise<void>): Promise<Work> {
    await Promise.all(this.#members.map(({ node }) => node.ask('begin', {})));
    const before = await this.broker?.cpu();
    await act();
    await sleep(AFTERWORK);
    const works = await Promise.all(this.#members.map(({ node }) => node.ask('end', {})));
    const broker = (await this.broker?.cpu()) ?? Number.NaN;
    const each = works.map(({ cpu }) => cpu);
    return { each, nodes: each.reduce((sum, cpu) => sum + cpu, 0), broker: broker - (before ?? Number.NaN) };
  }

  /** Whatever it is doing: what it has left with a broker is the broker's to forget. */
  async stop(): Promise<void> {
    await Promise.all([this.generator.stop(), ...this.#members.map(({ node }) => node.stop())]);
  }

  async #until(condition: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + PATIENCE;
    while (!(await condition())) {
      if (Date.now() > deadline) throw new Error(`${this.system.label} did not get there in time.`);
      await sleep(10);
    }
  }
}
