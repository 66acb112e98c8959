import { defineConfig } from 'vitepress';

import { faultsOf } from './check.js';
import { apiGroups, documentGroups } from './contents.js';
import { anchorOf, placeDocuments, renderForSearch } from './markdown.js';
import { API, pageOf, REPOSITORY, ROOT, SITE } from './places.js';

const BASE = new URL(SITE).pathname;
const documents = documentGroups();
const api = { text: 'API', link: '/reference/api/index.md' };
const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="none" stroke="%23b3261e" stroke-width="2">' +
  '<circle cx="3" cy="13" r="2" fill="%23b3261e" stroke="none"/><path d="M2 7a7 7 0 0 1 7 7M2 2a12 12 0 0 1 12 12"/></svg>';

export default defineConfig({
  title: 'nestjs-sse-hub',
  description: 'Server-Sent Events for NestJS: topics, exact resume, backpressure, limits, graceful shutdown',
  lang: 'en',
  base: BASE,
  head: [['link', { rel: 'icon', href: `data:image/svg+xml,${ICON}` }]],
  // Documents link to files beside `docs`, and some of these are pages too.
  srcDir: ROOT,
  srcExclude: ['src/**', 'test/**', 'sample-app/*/**'],
  rewrites: (file) => {
    const page = pageOf(file);
    if (page === undefined) throw new Error(`${file} has no page. See docs/.vitepress/places.ts and srcExclude.`);
    return page;
  },
  metaChunk: true,
  markdown: {
    // These keep their contrast on the colours of the page.
    theme: { light: 'github-light-default', dark: 'github-dark-default' },
    anchor: { slugify: anchorOf },
    config: placeDocuments,
    // Not known by their names; what looks alike is.
    languageAlias: { haproxy: 'nginx', caddyfile: 'nginx' },
  },
  // The page of the sample application links to it, on the reader's machine. All other dead links end the build.
  ignoreDeadLinks: 'localhostLinks',
  transformPageData: ({ filePath }) => {
    if (filePath === 'README.md') return { frontmatter: { layout: 'landing', sidebar: false } };
    // Made from the source: there is no page to edit.
    if (filePath.startsWith(API)) return { frontmatter: { editLink: false } };
    return undefined;
  },
  themeConfig: {
    nav: [
      { text: 'Guide', link: '/guide/installing.md', activeMatch: '^/guide/' },
      { text: 'Documents', link: '/documents.md' },
      { ...api, activeMatch: '^/reference/api/' },
      { text: 'Changelog', link: '/changelog.md' },
    ],
    sidebar: {
      '/': documents.map((group) => (group.text === 'Reference' ? { ...group, items: [...group.items!, api] } : group)),
      '/reference/api/': [{ text: 'All documents', link: '/documents.md' }, api, ...apiGroups()],
    },
    outline: [2, 3],
    search: { provider: 'local', options: { _render: renderForSearch } },
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    editLink: { pattern: `${REPOSITORY}/edit/main/:path`, text: 'Edit this page' },
    externalLinkIcon: true,
  },
  buildEnd: async ({ outDir }) => {
    const faults = await faultsOf(outDir, BASE);
    if (faults.length > 0) throw new Error(`The site in ${outDir} is not whole:\n${faults.join('\n')}`);
  },
});
