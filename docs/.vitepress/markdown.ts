import { relative } from 'node:path';

import type { MarkdownRenderer } from 'vitepress';

import { ROOT, targetOf } from './places.js';

/** What is written for GitHub, made into pages. */

type Token = ReturnType<MarkdownRenderer['parse']>[number];

interface Environment {
  readonly path?: string;
  /** `path` is where the page is, and this is where the document is; there for pages, not for the search. */
  readonly realPath?: string;
}

/** As GitHub makes them of headings: letters, digits, `_` and `-` stay. The same heading again gets a number elsewhere. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-');
}

/** What of README is the first page; the rest is in the guide at more length. */
const LANDING = ['The smallest complete example', 'What is promised', 'What is not', 'Is it for you?'];

/** Introduction, then `LANDING`; between and behind them two components of the theme. */
function landingOf(tokens: readonly Token[], component: (tag: string) => Token): Token[] {
  const starts = tokens.flatMap(({ type, tag }, at) => (type === 'heading_open' && tag === 'h2' ? [at] : []));
  const section = (heading: string): Token[] => {
    const start = starts.find((at) => tokens[at + 1]!.content === heading);
    if (start === undefined) throw new Error(`README.md has no section "${heading}" for the first page of the site.`);
    return tokens.slice(start, starts.find((at) => at > start) ?? tokens.length);
  };
  const introduction = tokens.slice(0, starts[0]);
  const picture = introduction.findIndex(({ content }) => content.startsWith('<img'));
  return [
    ...introduction.slice(0, picture),
    component('ReadOn'),
    ...introduction.slice(picture),
    ...LANDING.flatMap(section),
    component('AllDocuments'),
  ];
}

const ATTRIBUTES = /(<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=")([^"]*)(")/g;

/** Vite finds a picture by a path that begins with a dot. */
function pictureOf(source: string): string {
  return URL.canParse(source) || source.startsWith('.') ? source : `./${source}`;
}

function place(token: Token, file: string): void {
  if (token.type === 'link_open') token.attrSet('href', targetOf(file, String(token.attrGet('href'))));
  if (token.type === 'html_block' || token.type === 'html_inline') {
    token.content = token.content.replaceAll(ATTRIBUTES, (_, before: string, target: string, after: string) =>
      before.startsWith('<a') ? `${before}${targetOf(file, target)}${after}` : `${before}${pictureOf(target)}${after}`,
    );
  }
  for (const child of token.children ?? []) place(child, file);
}

export function placeDocuments(md: MarkdownRenderer): void {
  md.core.ruler.push('place-documents', (state) => {
    const { path, realPath = path } = state.env as Environment;
    if (realPath === undefined) return;
    const file = relative(ROOT, realPath).replaceAll('\\', '/');
    if (file === 'README.md') {
      state.tokens = landingOf(state.tokens, (tag) =>
        Object.assign(new state.Token('html_block', '', 0), { content: `<${tag} />\n` }),
      );
    }
    for (const token of state.tokens) place(token, file);
  });
  // A table that is wider than a telephone scrolls by itself, and is reached by the keyboard.
  md.renderer.rules.table_open = () => '<div class="table" tabindex="0" role="group" aria-label="Table"><table>\n';
  md.renderer.rules.table_close = () => '</table></div>\n';
}

type Renderer = Pick<MarkdownRenderer, 'options' | 'render'>;

/** The search reads words: colouring code once more for it would take a tenth of the build. */
export function renderForSearch(source: string, environment: object, md: Renderer): string {
  const { highlight } = md.options;
  md.options.highlight = null;
  try {
    return md.render(source, environment);
  } finally {
    md.options.highlight = highlight;
  }
}
