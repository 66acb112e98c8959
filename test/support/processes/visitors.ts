import type { ChildProcess } from 'node:child_process';

import type { Tally } from '../readers/sequence.js';
import { buildProgram, type Program } from './typescript-process.js';

/** How many events each topic had. */
export type Published = Readonly<Record<string, number>>;

export interface VisitorsTask {
  /** The topics are added to it. */
  readonly url: string;
  /** Of which each client follows some. */
  readonly topics: readonly string[];
  readonly clients: number;
  readonly salt: number;
}

export type VisitorsRequest = VisitorsTask | { readonly published: Published };

export interface VisitorsReport {
  readonly tallies: readonly Tally[];
  readonly reconnects: number;
}

export type VisitorsAnswer = { readonly arrived: number } | VisitorsReport | { readonly failure: string };

/** As many as small machines have cores beside the server's. */
const PROCESSES = 2;

/** Many clients in processes of their own, that come and go and check what they get. */
export class Visitors {
  readonly #program: Program;
  readonly #processes: readonly ChildProcess[];

  private constructor(program: Program) {
    this.#program = program;
    this.#processes = Array.from({ length: PROCESSES }, () => program.start());
  }

  /** All of them are connected when this settles. */
  static async enter(task: Omit<VisitorsTask, 'salt'>): Promise<Visitors> {
    const visitors = new Visitors(await buildProgram('visitors-process.ts'));
    const clients = Math.ceil(task.clients / PROCESSES);
    await visitors.#ask((i) => ({ ...task, clients, salt: 1 + i * clients }), 'arrived');
    return visitors;
  }

  /** Tells them that nothing more will be published; settles when they have everything, or waited long enough. */
  async finish(published: Published): Promise<VisitorsReport> {
    const reports = await this.#ask(() => ({ published }), 'tallies');
    return {
      tallies: reports.flatMap(({ tallies }) => tallies),
      reconnects: reports.reduce((sum, { reconnects }) => sum + reconnects, 0),
    };
  }

  async leave(): Promise<void> {
    for (const child of this.#processes) child.kill('SIGKILL');
    await this.#program.remove();
  }

  #ask<Key extends string>(requestOf: (i: number) => VisitorsRequest, key: Key): Promise<AnswerWith<Key>[]> {
    return Promise.all(
      this.#processes.map((child, i) => {
        const answer = answerWith(child, key);
        child.send(requestOf(i));
        return answer;
      }),
    );
  }
}

type AnswerWith<Key extends string> = Extract<VisitorsAnswer, Record<Key, unknown>>;

function answerWith<Key extends string>(child: ChildProcess, key: Key): Promise<AnswerWith<Key>> {
  return new Promise((resolve, reject) => {
    child.once('message', (answer: VisitorsAnswer) => {
      if (key in answer) resolve(answer as AnswerWith<Key>);
      else reject(new Error(`The visitors failed: ${JSON.stringify(answer)}`));
    });
    child.once('exit', (code, signal) => reject(new Error(`Their process has ended: ${code ?? signal}.`)));
  });
}
