import { MemoryBackplane } from 'nestjs-sse-hub';

/** A backplane as the examples have it: hubs with the same prefix share a log. */
export class MyBackplane extends MemoryBackplane {
  constructor(readonly options: { prefix: string }) {
    super();
  }
}

export declare function forget(prefix: string): Promise<void>;
