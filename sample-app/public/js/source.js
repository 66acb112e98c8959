/** The server code behind a panel, as it is in the source now. */

import { element } from './dom.js';
import { doing, request } from './server.js';

const TOKENS =
  /(?<comment>\/\/.*|\/?\*.*)|(?<string>'[^']*'|`[^`]*`|"[^"]*")|(?<word>\b(?:async|await|class|const|export|for|function|if|new|of|private|readonly|return|this|throw|yield)\b)|(?<mark>@\w+)/g;

function coloured(code) {
  const made = document.createElement('code');
  let at = 0;
  for (const match of code.matchAll(TOKENS)) {
    const [kind] = Object.entries(match.groups).find(([, text]) => text !== undefined);
    made.append(code.slice(at, match.index), element('span', match[0], kind));
    at = match.index + match[0].length;
  }
  made.append(code.slice(at));
  return made;
}

async function load(details) {
  const { parts } = await request('GET', `/source/${details.dataset.panel}`);
  for (const { file, line, code } of parts) {
    const block = element('pre');
    block.tabIndex = 0;
    block.setAttribute('aria-label', `Code of ${file}`);
    block.append(coloured(code));
    details.append(element('p', `${file}:${line}`, 'file'), block);
  }
}

export function startSources() {
  for (const details of document.querySelectorAll('details.source')) {
    details.append(element('summary', 'Its server code'));
    let loaded = false;
    details.addEventListener('toggle', () => {
      if (!details.open || loaded) return;
      loaded = true;
      void doing(load)(details);
    });
  }
}
