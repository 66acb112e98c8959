import { basename, dirname, join } from 'node:path';

const here = import.meta.dirname;

// The sources are read in tests, the build in dist/ otherwise; public/ and the project are in the same place for both.
const SAMPLE_APP = basename(here) === 'dist' ? dirname(here) : here;

export const PUBLIC_FOLDER = join(SAMPLE_APP, 'public');
export const PROJECT_FOLDER = dirname(SAMPLE_APP);
