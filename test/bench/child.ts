import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import type { Answer, Note } from './messages.js';

type Requests<Of> = { [Op in keyof Of]: { ask: unknown; answer: unknown } };

/** How long one request may take, in milliseconds: a run has to end by itself. */
const PATIENCE = 120_000;

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** A process of the benchmark, seen from its parent. */
export class Child<Of extends Requests<Of>> {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  onNote: ((note: Note) => void) | undefined;

  constructor(file: string, execArgv: readonly string[] = []) {
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)), [], {
      execArgv: [...execArgv],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#process.on('message', (message) => this.#read(message as Answer | { note: Note }));
    this.#process.once('exit', (code) => this.#fail(new Error(`${file} has ended with ${code}.`)));
  }

  ask<Op extends keyof Of & string>(op: Op, ask: Of[Op]['ask']): Promise<Of[Op]['answer']> {
    const call = ++this.#calls;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(call);
        reject(new Error(`No answer to ${op} within ${PATIENCE / 1_000} s.`));
      }, PATIENCE);
      this.#waiting.set(call, { resolve, reject, timer });
      this.#process.send({ call, op, ask });
    });
  }

  tell(note: Note): void {
    this.#process.send({ note });
  }

  async stop(): Promise<void> {
    this.#process.removeAllListeners('exit');
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await gone;
  }

  #read(message: Answer | { note: Note }): void {
    if ('note' in message) return this.onNote?.(message.note);
    const waiting = this.#waiting.get(message.call);
    if (!waiting) return;
    this.#waiting.delete(message.call);
    clearTimeout(waiting.timer);
    if (message.error === undefined) waiting.resolve(message.answer);
    else waiting.reject(new Error(message.error));
  }

  #fail(error: Error): void {
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#waiting.clear();
  }
}
