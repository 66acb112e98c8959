import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { findProgram } from '../processes/programs.js';
import { asTheStandardSays, type ReadEvent, Reading, type StreamReader } from './readers.js';

const PYTHON = findProgram(['python3'], 'apt-get install python3.');
const SCRIPT = join(import.meta.dirname, 'reader.py');

/** A reader in another language; undefined where there is no Python. */
export const python: StreamReader | undefined = PYTHON
  ? { name: "Python's standard library", expects: asTheStandardSays, open: (url) => read(PYTHON, url) }
  : undefined;

function read(executable: string, url: string): Reading {
  const child = spawn(executable, [SCRIPT, url], { stdio: ['ignore', 'pipe', 'inherit'] });
  const reading = new Reading(() => void child.kill());
  child.once('error', (error) => reading.fail(error));
  createInterface(child.stdout).on('line', (line) => {
    const told = JSON.parse(line) as ReadEvent | { error: string };
    if ('error' in told) reading.fail(told.error);
    else reading.push(told);
  });
  return reading;
}
