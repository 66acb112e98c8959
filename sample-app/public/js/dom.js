/** What is shown goes through textContent, so nothing that comes from the server can become markup. */

export const byId = (id) => document.getElementById(id);

export function element(name, text = '', className = '') {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

/** An item of a list, with something at its end. */
export function line(text, aside = '') {
  const item = document.createElement('li');
  item.append(element('span', text), element('span', aside, 'aside'));
  return item;
}

export function addLine(list, item, limit = 50) {
  list.prepend(item);
  while (list.children.length > limit) list.lastElementChild.remove();
}

export function options(select, pairs) {
  const { value: chosen } = select;
  select.replaceChildren(
    ...pairs.map(([value, text]) => {
      const option = element('option', text);
      option.value = value;
      return option;
    }),
  );
  if (pairs.some(([value]) => value === chosen)) select.value = chosen;
}

export const timeOf = (iso) => new Date(iso).toLocaleTimeString();
export const count = (number, word) => `${number.toLocaleString()} ${word}${number === 1 ? '' : 's'}`;
export const percent = (value) => `${value.toFixed(value < 10 ? 1 : 0)} %`;
export const milliseconds = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
export const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;

export function bytesOf(number) {
  if (number < 1_000) return `${number} B`;
  return number < 1_000_000 ? `${(number / 1_000).toFixed(1)} kB` : `${(number / 1_000_000).toFixed(1)} MB`;
}

export function age(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}
