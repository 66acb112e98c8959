import { readFileSync } from 'node:fs';

import { Converter } from 'typedoc';

/** The pages of the API (`npm run docs`): every entry of the package, under the name that it is imported by. */

const { name, exports } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));

/** Source files, and what is imported for them. `package.json` is the one place that lists the entries. */
const entries = new Map(
  Object.entries(exports)
    .filter(([, conditions]) => typeof conditions === 'object')
    .map(([path, conditions]) => [
      conditions.import.replace(/^[.]\/dist\/(.*)[.]js$/, 'src/$1.ts'),
      name + path.slice(1),
    ]),
);

/**
 * TypeDoc names a module after its file, which nobody imports.
 *
 * @param {import('typedoc').Application} application
 */
function nameModulesAsImported(application) {
  application.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.children ?? []) {
      const imported = entries.get(`src/${module.name}.ts`) ?? entries.get(`src/${module.name}/index.ts`);
      if (imported === undefined) throw new Error(`${module.name} is no entry of package.json. See .typedoc.js.`);
      module.name = imported;
    }
  });
}

/** @type {import('typedoc').TypeDocOptions & import('typedoc-plugin-markdown').PluginOptions} */
export default {
  name: 'API',
  tsconfig: 'src/tsconfig.json',
  entryPoints: [...entries.keys()],
  plugin: ['typedoc-plugin-markdown', nameModulesAsImported],
  out: 'docs/reference/api',
  readme: 'none',
  entryFileName: 'index',
  membersWithOwnFile: ['Class', 'Function', 'Interface'],
  excludePrivate: true,
  // What an error inherits from Node and Nest is theirs to describe.
  excludeExternals: true,
  disableSources: true,
  hideBreadcrumbs: true,
  hidePageHeader: true,
  useCodeBlocks: true,
  parametersFormat: 'table',
  // `npm run lint` has checked the types.
  skipErrorChecking: true,
  // Steps of a computed type, which say nothing by themselves.
  intentionallyNotExported: [
    'src/backplane/memory.backplane.ts:MemoryPresence',
    'src/client/event-source.ts:ListenerOf',
    'src/client/event-source.ts:ListenerOptions',
    'src/hub/topics/topic-pattern.ts:Matching',
    'src/sse.client-options.ts:Initial',
    'src/sse.error.ts:STATUS',
    'src/sse.events.ts:EventsOn',
    'src/sse.events.ts:IsUntyped',
    'src/sse.events.ts:Keys',
    'src/sse.events.ts:Named',
    'src/sse.events.ts:NamedOn',
    'src/sse.module-definition.ts:HubOptions',
    'src/sse.schemas.ts:DataOf',
    'src/sse.schemas.ts:RuleFor',
  ],
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true,
};
