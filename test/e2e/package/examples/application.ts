import type { INestApplication } from '@nestjs/common';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Response } from 'express';
import { SSEService } from 'nestjs-sse-hub';
import type { TestLog, TestNode, TestStream } from 'nestjs-sse-hub/testing';

import type { User } from './auth.js';

/** What the examples take from the application around them. */

export declare class Order {
  readonly id: number;
}

export declare class PricesController {}

export declare class ConfigService {
  getOrThrow(name: string): string;
}

export declare const app: INestApplication;
export declare const stream: TestStream;
export declare const log: TestLog;
export declare const one: TestNode;
export declare const two: TestNode;
export declare const config: Omit<OpenAPIObject, 'paths'>;
export declare const sse: SSEService;
export declare const response: Response;
export declare const logger: { log(line: string): void };
export declare const llm: { stream(prompt: string, options?: { signal: AbortSignal }): AsyncIterable<string> };
export declare function it(name: string, run: () => Promise<void>): void;
export declare function loadInbox(user: number): Promise<string[]>;

export declare const clientId: string;
export declare const id: string;
export declare const author: string;
export declare const prompt: string;
export declare const user: User;
export declare const member: { readonly joinedAt: Date };
export declare const order: Order;
export declare const edit: { readonly text: string };
export declare const result: { readonly files: number };

/** The class whose members the examples are. */
export abstract class Example {
  constructor(readonly sse: SSEService) {}

  readonly visits!: { count(): void };
  readonly audit!: { record(order: Order): void };
  readonly latest!: Map<number, Order>;
  readonly jwt!: { sign(claims: object, options: { expiresIn: string }): string };
  readonly orders!: {
    list(): Promise<Order[]>;
    exists(id: string): Promise<boolean>;
    read(id: string): Promise<Order>;
    /** Rejects with a 403. */
    assertReadable(user: User, id: string): Promise<void>;
  };
}
