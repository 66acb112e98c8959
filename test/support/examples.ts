import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { documents } from './documents.js';
import { ROOT } from './root.js';

/** The examples of the documents and of the doc comments, as modules that a compiler can check. */

/** Examples without imports have what they name from here and from `test/e2e/package/examples`. */
const IMPORTS = `
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Body, Controller, Delete, Get, Injectable, Module, NotFoundException, Param, Post, Query, Res, Sse } from '@nestjs/common';
import { HealthCheck, HealthCheckService } from '@nestjs/terminus';
import { SwaggerModule } from '@nestjs/swagger';
import type { Response } from 'express';
import { connect } from '@nats-io/transport-node';
import { Cluster } from 'ioredis';
import { z } from 'zod';
import {
  BackplaneError, type EventsOf, EventStream, getSSEToken, InjectSSE, LastEventId, MemoryBackplane, type SSEConfig, SSEError, SSEModule, SSEService, topicPattern,
} from 'nestjs-sse-hub';
import { NatsBackplane } from 'nestjs-sse-hub/nats';
import { observeHub, SSEMetricsModule } from 'nestjs-sse-hub/opentelemetry';
import { RedisBackplane } from 'nestjs-sse-hub/redis';
import { ApiEventStream, documentEventStreams } from 'nestjs-sse-hub/swagger';
import { SSEHealthIndicator } from 'nestjs-sse-hub/terminus';
import { backplaneContract, openStream, TestLog } from 'nestjs-sse-hub/testing';
import {
  app, author, clientId, config, ConfigService, edit, Example, id, it, llm, loadInbox, log, logger, member, one, Order, order, PricesController,
  prompt, response, result, sse, stream, two, user,
} from './application.js';
import { CurrentUser, type User } from './auth.js';
`;

/** It says which events there are, for all that is compiled with it: so it has to be compiled alone. */
export const AUGMENTS = /^declare module 'nestjs-sse-hub'/m;

/** Whole modules stay what they are; members get a class around them, and statements a method. */
function moduleOf(code: string): string {
  if (/^import /m.test(code)) return `${code}\nexport {};\n`;
  if (AUGMENTS.test(code)) return IMPORTS + code;
  const [, shown] = /^(?:export )?class (\w+)/m.exec(code) ?? [];
  if (shown !== undefined) return IMPORTS.replace(new RegExp(`\\b${shown},`), '') + code;
  const members = code.startsWith('@') ? code : `async example() {\n${code}\n}`;
  return `${IMPORTS}\nclass Shown extends Example {\n${members}\n}\n`;
}

function examplesIn(text: string, pattern: RegExp, file: string): [string, string][] {
  return [...text.matchAll(pattern)].map(({ 1: code = '', index }) => {
    const line = text.slice(0, index).split('\n').length;
    return [`${file.replaceAll(/\W/g, '-')}-${line}.mts`, moduleOf(code)];
  });
}

/** They need packages of their own, and show what is compiled with them where it is tested: `test/docs/recipes.spec.ts`. */
const RECIPES = 'docs/recipes/';

/** By file names that say where an example begins. */
export async function examples(): Promise<Map<string, string>> {
  const found: [string, string][] = [];
  for (const file of (await documents()).filter((name) => !name.startsWith(RECIPES))) {
    found.push(...examplesIn(await readFile(join(ROOT, file), 'utf8'), /^```ts\n(.*?)^```$/gms, file));
  }
  for (const file of await readdir(join(ROOT, 'src'), { recursive: true })) {
    if (!file.endsWith('.ts')) continue;
    const source = await readFile(join(ROOT, 'src', file), 'utf8');
    const withoutStars = source.replaceAll(/^ *\* ?/gm, '');
    found.push(...examplesIn(withoutStars, /^@example\n(.*?)^\/$/gms, file));
  }
  return new Map(found);
}
