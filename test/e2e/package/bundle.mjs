// Makes one program of an application and all that it imports: node bundle.mjs <bundler> <entry> <folder>.
const [bundler, entry, folder] = process.argv.slice(2);

// Nest asks for these when it needs them, and goes on without.
const OPTIONAL =
  /^(@nestjs\/(microservices|websockets|platform-fastify|platform-socket.io)|class-validator|class-transformer|file-type)/;

if (bundler === 'esbuild') {
  const { build } = await import('esbuild');
  const optional = {
    name: 'optional',
    setup: (hooks) => hooks.onResolve({ filter: OPTIONAL }, ({ path }) => ({ path, external: true })),
  };
  const options = { entryPoints: { main: entry }, outdir: folder, outExtension: { '.js': '.cjs' } };
  await build({ ...options, bundle: true, minify: true, platform: 'node', plugins: [optional], logLevel: 'error' });
} else {
  const { default: pack } = await import(bundler);
  const compiler = pack({
    mode: 'production',
    target: 'node',
    entry,
    output: { path: folder, filename: 'main.cjs', chunkFilename: '[id].cjs' },
    externals: [({ request }, done) => (OPTIONAL.test(request) ? done(undefined, `commonjs ${request}`) : done())],
    // Terser takes ten times as long as all the rest.
    optimization: { minimize: bundler !== 'webpack' },
  });
  const stats = await new Promise((done, failed) => {
    compiler.run((error, result) => (error ? failed(error) : done(result)));
  });
  if (stats.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }));
}
