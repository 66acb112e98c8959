import { basename, dirname, join } from 'node:path';

const here = import.meta.dirname;

// The sources are read in tests, the build in dist/ otherwise; all below is in the same place for both.
/** Where the sources are, too. */
export const SAMPLE_FOLDER = basename(here) === 'dist' ? dirname(here) : here;

export const PUBLIC_FOLDER = join(SAMPLE_FOLDER, 'public');
export const PROJECT_FOLDER = dirname(SAMPLE_FOLDER);

/** The library's client for browsers, as `npm run build` makes it. */
export const CLIENT_FOLDER = join(PROJECT_FOLDER, 'dist', 'client');
export const PACKAGES_FOLDER = join(PROJECT_FOLDER, 'node_modules');
