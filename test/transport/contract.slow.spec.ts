// The sentences of the contract in src/transport/transport.ts, for everything that keeps it.
import { setImmediate, setTimeout as delay } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Batch } from '../../src/protocol/frame.js';
import type { TransportListener } from '../../src/transport/transport.js';
import { ProcessWatch, until } from '../support/baseline.js';
import { type Answered, type AnswerOptions, dataOf, frameOf, implementations } from './implementations.js';

/** What a transport has reported, and whether it was ready then. */
class Recorder implements TransportListener {
  readonly drains: { readonly ready: boolean; readonly withinWrite: boolean }[] = [];
  disconnects = 0;
  withinWrite = false;

  constructor(private readonly answered: Answered) {}

  drained(): void {
    this.drains.push({ ready: this.answered.transport.ready, withinWrite: this.withinWrite });
  }

  disconnected(): void {
    this.disconnects++;
  }
}

/** Longer than anything takes that nobody waits for. */
const A_WHILE = 60;
const LARGE = 'x'.repeat(40_000);

for (const implementation of implementations) {
  describe(implementation.name, () => {
    let watch: ProcessWatch;
    const open: Answered[] = [];

    beforeAll(async () => {
      watch = new ProcessWatch();
      await implementation.start();
    });
    afterEach(() => {
      for (const { other } of open.splice(0)) other.leave();
      expect(watch.troubles).toEqual([]);
    });
    afterAll(async () => {
      await implementation.stop();
      watch.stop();
    });

    async function connect(options?: AnswerOptions): Promise<Answered> {
      const answered = await implementation.connect(options);
      open.push(answered);
      return answered;
    }

    async function begin(options?: AnswerOptions) {
      const answered = await connect(options);
      const recorder = new Recorder(answered);
      const write = (...data: string[]): void => {
        recorder.withinWrite = true;
        answered.transport.write(new Batch(data.map(frameOf)));
        recorder.withinWrite = false;
      };
      answered.transport.open(recorder);
      return { ...answered, recorder, write };
    }

    type Stream = Awaited<ReturnType<typeof begin>>;

    const received = async ({ other }: Stream, expected: readonly string[]): Promise<void> => {
      await until(`${expected.length} events`, () => dataOf(other.text).length >= expected.length);
      expect(dataOf(other.text)).toEqual(expected);
    };

    /** The other side reads nothing any more, and more waits for it than is on its way. Answers what was written. */
    const fill = async ({ transport, other, write }: Stream): Promise<string[]> => {
      other.pause();
      const written: string[] = [];
      const writeOne = (): void => {
        if (written.length > 1_000) throw new Error('It takes more and more, although nobody reads.');
        written.push(`${written.length} ${LARGE}`);
        write(written.at(-1)!);
      };
      for (let quiet = 0; quiet < A_WHILE; quiet++) {
        for (; transport.ready; quiet = 0) writeOne();
        await delay(1);
      }
      for (let i = 0; i < 3; i++) writeOne();
      return written;
    };

    const ended = async ({ other }: Pick<Answered, 'other'>): Promise<void> =>
      until('the end', () => other.ending !== undefined);

    describe('opening', () => {
      it('starts the response, and what is written arrives behind its headers', async () => {
        const stream = await begin();
        stream.write('a');
        await received(stream, ['a']);
        expect(stream.other.status).toBe(200);
        expect(stream.other.header('content-type')).toMatch(/^text\/event-stream/);
        expect(stream.other.header('content-encoding') === 'gzip').toBe(stream.transport.compressed ?? false);
      });

      it('tells that nobody is there any more', async () => {
        const answered = await connect();
        answered.other.leave();
        await delay(A_WHILE);
        const recorder = new Recorder(answered);
        answered.transport.open(recorder);
        await until('it is told', () => recorder.disconnects > 0);
        await delay(A_WHILE);
        expect(recorder.disconnects).toBe(1);
      });
    });

    describe('writing', () => {
      it('brings all that is written, once and in order, whatever its size', async () => {
        const stream = await begin();
        const expected: string[] = [];
        for (const sizes of [[1, 1, 1], [5_000], [1, 5_000, 1], [70_000, 1], [1, 300_000], [1]]) {
          const data = sizes.map((size, i) => `${expected.length + i} ${'x'.repeat(size)}`);
          expected.push(...data);
          stream.write(...data);
          if (sizes.length > 1) await setImmediate();
        }
        await received(stream, expected);
      });

      it('leaves the bytes of a batch as they are, for the other clients', async () => {
        const batches = [['a'], [LARGE], ['a', LARGE, 'b']].map((data) => new Batch(data.map(frameOf)));
        const bytes = (): string => Buffer.concat(batches.flatMap(({ payloads }) => payloads)).toString();
        const before = bytes();
        for (let i = 0; i < 2; i++) {
          const stream = await begin();
          for (const batch of batches) {
            const { length } = dataOf(stream.other.text);
            stream.transport.write(batch);
            await until('it has come', () => dataOf(stream.other.text).length > length);
          }
          await received(stream, ['a', LARGE, 'a', LARGE, 'b']);
        }
        expect(bytes()).toBe(before);
      });

      it('takes what is written while it is not ready', async () => {
        const stream = await begin();
        const written = await fill(stream);
        stream.other.resume();
        await received(stream, written);
      });

      it('is not ready when nobody reads, after a limited number of bytes', async () => {
        const stream = await begin();
        // How many the two ends of a connection hold is the system's to say.
        await fill(stream);
        expect(stream.transport.ready).toBe(false);
      });

      it('is not ready after a portion, where it has one', async () => {
        const { transport, write } = await begin();
        const { portion } = transport;
        if (portion === undefined) return;
        let size = 0;
        for (; transport.ready; size += 1_000) write('x'.repeat(1_000));
        expect(size).toBeLessThanOrEqual(portion + 1_000);
      });

      it('tells once that it takes more again, when it is ready, and not within write()', async () => {
        const stream = await begin();
        const written = await fill(stream);
        const before = stream.recorder.drains.length;
        stream.other.resume();
        await received(stream, written);
        await until('it is ready', () => stream.transport.ready);
        await delay(A_WHILE);
        const told = stream.recorder.drains.slice(before);
        expect(told).toEqual([{ ready: true, withinWrite: false }]);
        stream.write('more');
        await received(stream, [...written, 'more']);
      });

      it('shows progress when the other side takes something, and none while it takes nothing', async () => {
        const stream = await begin();
        const written = await fill(stream);
        let progress: number;
        // What carries it may still take a little.
        await until('no progress', async () => {
          ({ progress } = stream.transport);
          await delay(A_WHILE);
          return stream.transport.progress === progress;
        });
        stream.other.resume();
        await until('progress', () => stream.transport.progress !== progress);
        await received(stream, written);
      });
    });

    describe('ending', () => {
      it('ends in an orderly way behind what was written, however much of that waits', async () => {
        const stream = await begin();
        const written = await fill(stream);
        stream.transport.end('end');
        stream.other.resume();
        await received(stream, written);
        await ended(stream);
        expect(stream.other.ending).toBe('end');
        expect(dataOf(stream.other.text)).toEqual(written);
      });

      it('is cut behind what was written, and its reader takes that for a fault', async () => {
        const stream = await begin();
        const written = await fill(stream);
        stream.transport.end('cut');
        stream.other.resume();
        await received(stream, written);
        await ended(stream);
        expect(stream.other.ending).toBe('cut');
      });

      it('leaves the connection to others after an orderly end', async () => {
        const one = await begin();
        one.write('one');
        one.transport.end('end');
        await ended(one);
        expect(dataOf(one.other.text)).toEqual(['one']);
        if (!implementation.hasConnection) return;
        const two = await begin({ after: one.other });
        two.write('two');
        await received(two, ['two']);
        expect(one.other.connectionClosed).toBe(false);
      });

      it('gives up what nobody reads for slowTimeout after the end', async () => {
        if (!implementation.givesUp) return;
        const stream = await begin({ slowTimeout: A_WHILE });
        const written = await fill(stream);
        stream.transport.end('end');
        await delay(5 * A_WHILE);
        stream.other.resume();
        await ended(stream);
        expect(stream.other.ending).toBe('cut');
        expect(dataOf(stream.other.text).length).toBeLessThan(written.length);
      });

      for (const ending of ['end', 'cut'] as const) {
        it(`close('${ending}') ends the same way and settles when all is out, with the connection closed`, async () => {
          const stream = await begin();
          const written = await fill(stream);
          let settled = false;
          const closing = stream.transport.close(ending).then(() => (settled = true));
          await delay(A_WHILE);
          expect(settled).toBe(false);
          stream.other.resume();
          await closing;
          await received(stream, written);
          await ended(stream);
          expect(stream.other.ending).toBe(ending);
          if (implementation.hasConnection)
            await until('the connection is closed', () => stream.other.connectionClosed);
        });
      }

      it('close() settles when the other side leaves instead of reading', async () => {
        const stream = await begin();
        await fill(stream);
        const closing = stream.transport.close('end');
        stream.other.leave();
        await closing;
      });

      it('close() settles when the stream is destroyed instead', async () => {
        const stream = await begin();
        await fill(stream);
        const closing = stream.transport.close('end');
        stream.transport.destroy();
        await closing;
      });

      it('destroy() ends now, whatever is still unwritten', async () => {
        const stream = await begin();
        const written = await fill(stream);
        stream.transport.destroy();
        stream.other.resume();
        await ended(stream);
        expect(stream.other.ending).toBe('cut');
        expect(dataOf(stream.other.text).length).toBeLessThan(written.length);
      });

      it('release() leaves the response as it is', async () => {
        const stream = await begin();
        stream.write('a');
        await received(stream, ['a']);
        stream.transport.release();
        await delay(A_WHILE);
        expect(stream.other.ending).toBeUndefined();
        stream.other.leave();
        await delay(A_WHILE);
        expect(stream.recorder.disconnects).toBe(0);
      });

      for (const how of ['end', 'close', 'destroy'] as const) {
        it(`lets nothing leave after ${how}(), reports nothing, and may be ended again`, async () => {
          const stream = await begin();
          stream.write('before');
          await received(stream, ['before']);
          const closing = stream.transport[how]('end');
          try {
            stream.write('after');
          } catch {
            // The in-memory twin says that it is a mistake.
          }
          stream.transport.end('cut');
          void stream.transport.close('cut');
          await ended(stream);
          await closing;
          stream.transport.destroy();
          stream.transport.destroy();
          stream.other.leave();
          await delay(A_WHILE);
          expect(dataOf(stream.other.text)).toEqual(['before']);
          expect(stream.recorder.disconnects).toBe(0);
          expect(stream.other.ending).toBe(how === 'destroy' ? 'cut' : 'end');
        });
      }
    });

    describe('leaving', () => {
      it('tells once that the other side is gone, and nothing after it', async () => {
        const stream = await begin();
        stream.write('a');
        await received(stream, ['a']);
        stream.other.leave();
        await until('it is told', () => stream.recorder.disconnects > 0);
        const drains = stream.recorder.drains.length;
        stream.transport.end('end');
        await delay(A_WHILE);
        expect(stream.recorder.disconnects).toBe(1);
        expect(stream.recorder.drains).toHaveLength(drains);
      });

      it('tells of a connection that breaks, and throws nothing, neither in write() nor later', async () => {
        const stream = await begin();
        await fill(stream);
        stream.other.leave();
        for (let i = 0; i < 1_000 && stream.recorder.disconnects === 0; i++) {
          stream.write(`late ${i}`);
          await setImmediate();
        }
        await until('it is told', () => stream.recorder.disconnects > 0);
        await delay(A_WHILE);
        expect(stream.recorder.disconnects).toBe(1);
      });

      it('tells when somebody else ends the response, and writes nothing behind their end', async () => {
        const stream = await begin();
        if (!stream.endElsewhere) return;
        stream.write('a');
        await received(stream, ['a']);
        stream.endElsewhere('data: theirs\n\n');
        stream.write('late');
        await ended(stream);
        await until('it is told', () => stream.recorder.disconnects > 0);
        stream.transport.end('end');
        await delay(A_WHILE);
        expect(stream.recorder.disconnects).toBe(1);
        expect(dataOf(stream.other.text)).toEqual(['a', 'theirs']);
        expect(stream.other.ending).toBe('end');
      });
    });

    if (!implementation.refuses) return;
    describe('a request that gets no stream', () => {
      for (const ending of ['end', 'cut'] as const) {
        it(`turnAway(frame, '${ending}') answers 200, this frame, and then it is over`, async () => {
          const { other } = await connect({ answer: (entrance) => entrance.turnAway(frameOf('busy'), ending, false) });
          await ended({ other });
          expect(other.status).toBe(200);
          expect(dataOf(other.text)).toEqual(['busy']);
          expect(other.ending).toBe(ending);
        });
      }

      it('closes the connection behind it when it was the last', async () => {
        const { other } = await connect({ answer: (entrance) => entrance.turnAway(frameOf('busy'), 'end', true) });
        await ended({ other });
        expect(dataOf(other.text)).toEqual(['busy']);
        expect(other.ending).toBe('end');
        if (implementation.hasConnection) await until('the connection is closed', () => other.connectionClosed);
      });

      it('answerNoContent() answers 204, which no cache may keep', async () => {
        const { other } = await connect({ answer: (entrance) => entrance.answerNoContent() });
        await ended({ other });
        expect(other.status).toBe(204);
        expect(other.header('cache-control')).toBe('no-store');
        expect(other.text).toBe('');
      });

      it('answerHeaders() answers 200 and the headers, for HEAD', async () => {
        const { other } = await connect({ method: 'HEAD', answer: (entrance) => entrance.answerHeaders() });
        await ended({ other });
        expect(other.status).toBe(200);
        expect(other.header('content-type')).toMatch(/^text\/event-stream/);
        expect(other.text).toBe('');
      });
    });
  });
}
