const { createServer } = require('node:http');

const { SSEService } = require('nestjs-sse-hub');

const sse = new SSEService();

const server = createServer((request, response) => {
  if (request.url === '/direct') return sse.createClient(response, { topics: 'news' });
  sse.broadcast('news', 'numbered', { i: 0 });
  response.end('done');
});

server.listen(0, '127.0.0.1', () => console.log(server.address().port));

process.stdin
  .on('end', async () => {
    await sse.shutdown();
    server.close();
  })
  .resume();
