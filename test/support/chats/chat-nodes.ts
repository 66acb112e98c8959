import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { Program } from '../processes/standalone.js';
import type { SampleBroker } from '../processes/sample-nodes.js';
import { pick } from '../seed.js';

interface ChatNode {
  readonly program: Program;
  readonly url: string;
}

export interface StateOfChat {
  readonly run: { readonly state: string; readonly events: number } | null;
  readonly clients: number;
}

/** Nodes that viewers may be sent to. */
const VIEWED = 2;

/**
 * The nodes of a chat on one log. Answers are given on the first one, which stays; viewers are on the others, which are
 * restarted and killed, and start again. A log in memory has one node for everything.
 */
export class ChatNodes {
  readonly #prefix = `test-chats-${randomUUID()}`;
  readonly #programs: Program[] = [];
  readonly #others: ChatNode[] = [];
  #first!: ChatNode;
  #starting = 0;
  #pending: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly folder: string,
    /** `undefined` for the log in memory. */
    private readonly broker: SampleBroker | undefined,
  ) {}

  static async start(folder: string, broker: SampleBroker | undefined): Promise<ChatNodes> {
    const nodes = new ChatNodes(folder, broker);
    const [first, ...others] = await Promise.all(
      Array.from({ length: broker ? 1 + VIEWED : 1 }, (_, i) => nodes.#launch(i)),
    );
    nodes.#first = first!;
    nodes.#others.push(...others);
    return nodes;
  }

  /** Where answers are begun. */
  get first(): string {
    return this.#first.url;
  }

  /** Where an answer is followed. */
  some(random: () => number): string {
    return this.#others.length > 0 ? pick(random, this.#others).url : this.first;
  }

  /** Whether this one may leave now: another one has to be there for those who come back. */
  mayLeave(url: string): boolean {
    return this.#others.length > 1 && this.#others.some((node) => node.url === url);
  }

  /** Whether this one is leaving, or is gone. */
  hasLeft(url: string): boolean {
    return url !== this.first && this.#others.every((node) => node.url !== url);
  }

  /** As when its machine loses its power. */
  kill(url: string): void {
    this.#replace(url, 'SIGKILL');
  }

  /** As for a new version. */
  restart(url: string): void {
    this.#replace(url, 'SIGTERM');
  }

  /** Ends the streams of a chat on this node, which are to come back. Answers how many there were. */
  async remove(url: string, id: string): Promise<number> {
    return ((await post(`${url}/node/remove/${encodeURIComponent(id)}`)) as { removed: number }).removed;
  }

  async stateOf(id: string, url = this.first): Promise<StateOfChat> {
    return (await post(`${url}/node/state/${encodeURIComponent(id)}`)) as StateOfChat;
  }

  /** As many as at first. */
  async settled(): Promise<void> {
    while (this.#starting > 0) await this.#pending;
  }

  async end(): Promise<void> {
    await this.settled();
    for (const program of this.#programs) program.kill();
    for (const program of this.#programs) await program.ended();
    await this.broker?.forget(this.#prefix);
  }

  #replace(url: string, signal: NodeJS.Signals): void {
    const [node] = this.#others.splice(
      this.#others.findIndex((one) => one.url === url),
      1,
    );
    node!.program.signal(signal);
    this.#starting++;
    this.#pending = this.#launch(this.#programs.length)
      .then((other) => this.#others.push(other))
      .finally(() => this.#starting--);
  }

  /** Of both platforms, by turns. */
  async #launch(n: number): Promise<ChatNode> {
    const program = new Program(join(this.folder, 'chats', 'main.js'), [], {
      REDIS_URL: '',
      NATS_URL: '',
      ...(this.broker && { [this.broker.variable]: this.broker.url, BACKPLANE_PREFIX: this.#prefix }),
      PLATFORM: n % 2 === 0 ? 'express' : 'fastify',
    });
    this.#programs.push(program);
    const [, url] = await program.printed(/Listening on (\S+)\./);
    return { program, url: url! };
  }
}

async function post(url: string): Promise<unknown> {
  const response = await fetch(url, { method: 'POST' });
  if (!response.ok) throw new Error(`${url} was answered ${response.status}: ${await response.text()}`);
  return response.json();
}
