import type { Call, Note } from './messages.js';

type Requests<Of> = { [Op in keyof Of]: { ask: unknown; answer: unknown } };

export type Handlers<Of extends Requests<Of>> = {
  [Op in keyof Of]: (ask: Of[Op]['ask']) => Of[Op]['answer'] | Promise<Of[Op]['answer']>;
};

/** Answers the parent's requests, in a child process. It does not outlive its parent. */
export function serveParent<Of extends Requests<Of>>(
  handlers: Handlers<Of>,
  { onNote, onOrphaned }: { onNote?: (note: Note) => void; onOrphaned?: () => Promise<void> | undefined } = {},
): void {
  process.on('message', (message: Call | { note: Note }) => {
    if ('note' in message) onNote?.(message.note);
    else void answer(handlers, message);
  });
  process.once('disconnect', () => {
    void Promise.resolve(onOrphaned?.()).finally(() => process.exit());
  });
  // The parent ends its children itself; an interrupt from the keyboard reaches all of them.
  process.on('SIGINT', () => {});
}

async function answer<Of extends Requests<Of>>(handlers: Handlers<Of>, { call, op, ask }: Call): Promise<void> {
  try {
    process.send!({ call, answer: await handlers[op as keyof Of](ask) });
  } catch (error) {
    process.send!({ call, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

export function tellParent(note: Note): void {
  process.send!({ note });
}
