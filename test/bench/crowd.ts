import { connect, type Socket } from 'node:net';

const ROUTES = ['direct', 'stream', 'web'];
const TOPICS = 20;

/** How a visitor reads. */
type Manner = 'fast' | 'trickling' | 'paused';

/** How many of each are there at any time. */
const VISITORS: Readonly<Record<Manner, number>> = { fast: 200, trickling: 15, paused: 15 };
/** Milliseconds. Slow ones are shown out earlier, but do not look: they come back after this time. */
const STAY: Readonly<Record<Manner, number>> = { fast: 1_500, trickling: 15_000, paused: 12_000 };
const TRICKLE = 1_024;
const TRICKLE_INTERVAL = 1_000;

function stayOf(manner: Manner): number {
  return STAY[manner] * (0.5 + Math.random());
}

/** Clients that come and go, and some that hardly read. */
export class Crowd {
  visits = 0;
  readonly #present = new Set<Socket>();
  #open = true;

  constructor(private readonly port: number) {}

  enter(): void {
    for (const [manner, count] of Object.entries(VISITORS)) {
      for (let i = 0; i < count; i++) this.#visit(manner as Manner);
    }
  }

  leave(): void {
    this.#open = false;
    for (const socket of this.#present) socket.destroy();
  }

  #visit(manner: Manner): void {
    if (!this.#open) return;
    const n = ++this.visits;
    const socket = connect({
      port: this.port,
      host: '127.0.0.1',
      ...(manner !== 'fast' && { highWaterMark: TRICKLE }),
    });
    this.#present.add(socket);
    const stay = setTimeout(() => socket.destroy(), stayOf(manner));
    socket.on('error', () => {});
    socket.once('close', () => {
      clearTimeout(stay);
      this.#present.delete(socket);
      // Not at once, or a server that is down would be hammered.
      setTimeout(() => this.#visit(manner), 20 + Math.random() * 100);
    });
    const topics = manner === 'fast' ? `topic-${n % TOPICS},topic-${(n * 7) % TOPICS}` : 'bulk';
    socket.write(`GET /${ROUTES[n % ROUTES.length]}/${topics} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    this.#read(socket, manner);
  }

  #read(socket: Socket, manner: Manner): void {
    if (manner === 'paused') {
      socket.pause();
      return;
    }
    if (manner === 'fast') {
      socket.resume();
      return;
    }
    // Paused mode: what is not asked for stays in the kernel, and the server feels it.
    socket.on('readable', () => {});
    const timer = setInterval(() => socket.read(Math.min(TRICKLE, socket.readableLength)), TRICKLE_INTERVAL);
    socket.once('close', () => clearInterval(timer));
  }
}
