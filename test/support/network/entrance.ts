import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';

interface Passage {
  readonly client: Socket;
  readonly server: Socket;
  readonly target: string;
  /** There is a request that has not been answered to its end. */
  isBusy: boolean;
  /** Some of that answer has come. */
  hasBegun: boolean;
  /** The next piece of the answer is the last one, and only so much of it gets through. */
  tear: ((piece: Buffer) => number | undefined) | undefined;
}

/** What is behind an entrance. */
export interface Nodes {
  /** The URL of the node that a new connection goes to. */
  choose(): string;
  /** Whether the node is leaving, or is gone. */
  hasLeft(url: string): boolean;
}

/** The end of an answer in chunks, or all of one that has no body. */
const IS_WHOLE = /(^|\r\n)0\r\n\r\n$|^HTTP\/1\.1 (?:204|[45]\d\d) /;

/**
 * What one client sees of a load balancer: an address that stays, behind which each new connection goes to some node.
 * Counts the requests, and the answers that it has been told to interrupt.
 */
export class Entrance {
  requests = 0;
  interruptions = 0;
  readonly #passages = new Set<Passage>();

  private constructor(
    private readonly listener: net.Server,
    private readonly nodes: Nodes,
  ) {}

  static async open(nodes: Nodes): Promise<Entrance> {
    const listener = net.createServer({ noDelay: true });
    const entrance = new Entrance(listener, nodes);
    listener.on('connection', (client) => entrance.#connect(client, nodes.choose()));
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return entrance;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.listener.address() as AddressInfo).port}`;
  }

  /** The node that is answering right now. */
  get answering(): string | undefined {
    return this.#busy?.target;
  }

  /** Whether some of that answer has come. */
  get hasBegun(): boolean {
    return this.#busy?.hasBegun === true;
  }

  /** Resets the connection that is being answered. */
  cut(): void {
    const passage = this.#busy;
    if (!passage) return;
    this.#interrupt(passage);
    passage.client.resetAndDestroy();
    passage.server.resetAndDestroy();
  }

  /** Lets a part of what comes next through, and then nothing more. */
  tear(share: number): void {
    this.#tear((piece) => Math.floor(piece.length * share));
  }

  /** Lets everything through up to the next text like this, and then nothing more. */
  tearBehind(text: RegExp): void {
    this.#tear((piece) => {
      const found = text.exec(piece.toString('latin1'));
      return found ? found.index + found[0].length : undefined;
    });
  }

  /** Something that was done elsewhere has interrupted the answer. */
  noteInterruption(): void {
    this.interruptions++;
  }

  close(): void {
    this.listener.close();
    for (const { client, server } of this.#passages) {
      client.destroy();
      server.destroy();
    }
  }

  get #busy(): Passage | undefined {
    return [...this.#passages].find(({ isBusy }) => isBusy);
  }

  #tear(where: (piece: Buffer) => number | undefined): void {
    const passage = this.#busy;
    if (!passage || passage.tear) return;
    this.#interrupt(passage);
    passage.tear = where;
  }

  #interrupt(passage: Passage): void {
    this.interruptions++;
    passage.isBusy = false;
  }

  #connect(client: Socket, target: string): void {
    const { hostname, port } = new URL(target);
    const server = net.connect({ host: hostname, port: Number(port), noDelay: true });
    const passage: Passage = { client, server, target, isBusy: false, hasBegun: false, tear: undefined };
    this.#passages.add(passage);
    client.on('data', (piece) => {
      if (/^(GET|POST) /.test(piece.toString('latin1'))) {
        this.requests++;
        // On a connection that was open by then: no answer can be expected.
        if (this.nodes.hasLeft(target)) this.interruptions++;
        // The first one starts something. Where it gets no answer it has to be sent again, and that is not what is tried.
        passage.isBusy = this.requests > 1 || piece.toString('latin1', 0, 3) === 'GET';
        passage.hasBegun = false;
      }
      server.write(piece);
    });
    server.on('data', (piece) => this.#answer(passage, piece));
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('end', () => to.end());
      from.on('error', () => to.resetAndDestroy());
      from.on('close', () => {
        // Unless it is on its way to its end, with what has not left yet.
        if (!to.writableEnded) to.destroy();
        this.#passages.delete(passage);
      });
    }
  }

  #answer(passage: Passage, piece: Buffer): void {
    const { client, server } = passage;
    const size = passage.tear?.(piece);
    if (size !== undefined) {
      client.end(piece.subarray(0, size));
      server.destroy();
      return;
    }
    // It is none that may be interrupted again.
    if (passage.tear) return void client.write(piece);
    passage.hasBegun = true;
    passage.isBusy = !IS_WHOLE.test(piece.toString('latin1'));
    client.write(piece);
  }
}
