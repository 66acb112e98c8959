import { Injectable } from '@nestjs/common';
import { type SSERun, SSEService } from 'nestjs-sse-hub';

import { type DemoUser, userTopic } from '../users/demo-users.js';
import { streamAnswer } from './stream-answer.js';

type ChatTopic = `chat:${number}:${string}`;

/** The question, or a part of its answer. */
export interface Part {
  readonly text: string;
}

interface Events {
  [chat: ChatTopic]: {
    question: Part;
    word: Part;
    'answer-failed': { message: string };
    'answer-stopped': { message: string };
  };
  [user: `user:${number}`]: { asked: { chat: string; run: string } };
}

/** Of one user: nobody else can ask for it. */
export function chatTopic(user: DemoUser, id: string): ChatTopic {
  return `chat:${user.id}:${id}`;
}

/** An answer is a run: it goes on when the page that asked is gone, and all of it is there for whoever comes back. */
@Injectable()
export class ChatService {
  constructor(private readonly sse: SSEService<Events>) {}

  /** What is asked while an answer is on its way takes its place. */
  async ask(user: DemoUser, id: string, question: string): Promise<SSERun> {
    const run = this.sse.run(
      chatTopic(user, id),
      // With the AI SDK: conversation(question, streamText({ model, prompt: question, abortSignal: signal }).textStream)
      (signal) => conversation(question, streamAnswer(question, signal)),
      {
        failed: { event: 'answer-failed', data: { message: 'The answer failed, or its node is gone.' } },
        cancelled: { event: 'answer-stopped', data: { message: 'Stopped.' } },
        onRunning: 'replace',
      },
    );
    await run.started;
    // To all windows of the user: the topic of the chat is one that a page cannot follow before there is an answer.
    this.sse.broadcast(userTopic(user), 'asked', { chat: id, run: run.id });
    return run;
  }

  stop(user: DemoUser, id: string): void {
    this.sse.cancelRun(chatTopic(user, id), { reason: `stopped by ${user.name}` });
  }
}

/** The question as well, so that a window which has not asked shows it. */
async function* conversation(
  question: string,
  words: AsyncIterable<string>,
): AsyncGenerator<{ event: 'question' | 'word'; data: Part }> {
  yield { event: 'question', data: { text: question } };
  for await (const text of words) yield { event: 'word', data: { text } };
}
