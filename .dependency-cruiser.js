/**
 * Who may import whom in `src`: nobody in a circle, and one way through the rooms, from the root down to `protocol`.
 * `npm run lint:imports` names each import that breaks a rule; CONTRIBUTING.md has the same map in words.
 */

/** What backplanes and hub agree on. The other files of `backplane` are for the application to choose from. */
const BACKPLANE_CONTRACT = '^src/backplane/(backplane|presence|backplane-error)[.]ts$';
const TRANSPORT_CONTRACT = '^src/transport/transport[.]ts$';
/** Health checks and metrics of applications. Each is an entry of its own, and uses what an application uses. */
const INTEGRATIONS = '^src/integrations/';
/** What every room says to the application. The other files of the root are glue, and no room knows them. */
const PUBLIC_WORDS = '^src/(sse[.](client|error|runs)|option-checks)[.]ts$';
const ROOT = '^src/[^/]+[.]ts$';

/**
 * What a room may import of `src`, beside itself.
 *
 * @param {string} room
 * @param {string} comment
 * @param {readonly string[]} allowed
 */
function roomImportsOnly(room, comment, allowed) {
  return {
    name: `what-${room}-may-import`,
    comment,
    severity: 'error',
    from: { path: `^src/${room}/` },
    to: { path: '^src/', pathNot: [`^src/${room}/`, ...allowed] },
  };
}

/**
 * An optional peer: who does not load this part of `src` need not have it installed.
 *
 * @param {string} peer
 * @param {string} place
 */
function onlyIn(peer, place) {
  return {
    name: `${peer}-only-in-its-place`,
    comment: 'Who does not use an optional peer has not installed it.',
    severity: 'error',
    from: { path: '^src/', pathNot: `^src/${place}` },
    to: { path: `(^|/)node_modules/${peer}/` },
  };
}

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-circle',
      comment: 'Files of a circle can only be understood together. An import of a type counts like any other.',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'no-unresolvable',
      comment: 'No rule holds for a file that is not found.',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },

    roomImportsOnly('protocol', 'What goes over a wire, as pure functions that know of nothing else.', []),
    roomImportsOnly('log', 'What was published, in its order, whoever reads it.', ['^src/protocol/']),
    roomImportsOnly('backplane', 'A backplane stands beside the log and brings entries, whoever reads them.', [
      '^src/protocol/',
      '^src/log/',
      PUBLIC_WORDS,
    ]),
    roomImportsOnly('transport', 'A transport carries what it is handed, whoever published it.', [
      '^src/protocol/',
      PUBLIC_WORDS,
    ]),
    roomImportsOnly('hub', 'The hub knows contracts: any backplane and any transport will do.', [
      '^src/protocol/',
      '^src/log/',
      BACKPLANE_CONTRACT,
      TRANSPORT_CONTRACT,
      PUBLIC_WORDS,
    ]),
    roomImportsOnly('testing', 'What is for tests uses what an application uses: the service, and the contract.', [
      '^src/protocol/',
      BACKPLANE_CONTRACT,
      '^src/backplane/memory[.]backplane[.]ts$',
      '^src/hub/topics/topic-pattern[.]ts$',
      ROOT,
    ]),
    roomImportsOnly('integrations', 'They use what an application uses.', [ROOT]),
    {
      name: 'nobody-imports-integrations',
      comment: 'Who does not use one has not installed what it is for.',
      severity: 'error',
      from: { path: '^src/', pathNot: INTEGRATIONS },
      to: { path: INTEGRATIONS },
    },
    {
      name: 'nobody-imports-testing',
      comment: 'It is for tests: a server does not load it.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/testing/' },
      to: { path: '^src/testing/' },
    },
    {
      name: 'the-client-imports-types-only',
      comment: 'It runs in browsers: of the rest it knows the words, and no code.',
      severity: 'error',
      from: { path: '^src/client/' },
      to: { path: '^src/', pathNot: '^src/client/', dependencyTypesNot: ['type-only'] },
    },
    roomImportsOnly('client', 'What an event is called and what it carries is all that both sides share.', [
      '^src/sse[.](client|events)[.]ts$',
    ]),
    {
      name: 'nobody-imports-the-client',
      comment: 'A server has no use for it.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/client/' },
      to: { path: '^src/client/' },
    },
    {
      name: 'what-public-words-may-import',
      comment: 'Every room imports them, and so what they import.',
      severity: 'error',
      from: { path: PUBLIC_WORDS },
      to: { path: '^src/', pathNot: ['^src/protocol/', PUBLIC_WORDS] },
    },
    {
      name: 'topics-and-reports-know-no-client',
      comment: 'Clients follow topics and are reported on, never the other way round.',
      severity: 'error',
      from: { path: '^src/hub/(topics|reporting)/' },
      to: { path: '^src/hub/clients/' },
    },

    {
      name: 'brokers-are-entries-of-their-own',
      comment: 'The main entry loads where no client of a broker is installed.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/backplane/(redis|nats|broker)/' },
      to: { path: '^src/backplane/(redis|nats|broker)/' },
    },
    {
      name: 'brokers-share-only-what-fits-all',
      comment: 'What Redis and NATS have in common is in `broker`, and names neither.',
      severity: 'error',
      from: { path: '^src/backplane/([^/]+)/' },
      to: { path: '^src/backplane/(redis|nats)/', pathNot: '^src/backplane/$1/' },
    },
    onlyIn('ioredis', 'backplane/redis/'),
    onlyIn('@nats-io', 'backplane/nats/'),
    onlyIn('@nestjs/terminus', 'integrations/terminus[.]ts$'),
    onlyIn('@opentelemetry', 'integrations/opentelemetry[.]ts$'),
    onlyIn('@nestjs/swagger', 'integrations/(swagger|openapi-operation)[.]ts$'),

    {
      name: 'nest-only-at-the-root-and-in-integrations',
      comment: 'All else works without Nest, and a new version of it concerns a handful of files.',
      severity: 'error',
      from: { path: '^src/', pathNot: [ROOT, INTEGRATIONS] },
      to: { path: '(^|/)node_modules/@nestjs/' },
    },
    {
      name: 'only-peers',
      comment: 'The package has no dependencies of its own: what is not a peer is missing where it is installed.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '(^|/)node_modules/', dependencyTypesNot: ['npm-peer'] },
    },
    {
      name: 'only-src',
      comment: 'What is published needs nothing that is not.',
      severity: 'error',
      from: { path: '^src/' },
      to: { pathNot: ['^src/', '(^|/)node_modules/'], dependencyTypesNot: ['core', 'unknown'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Imports of types are gone after compilation, and tie files together like all others.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default'] },
  },
};
