import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { describeWith } from '../../support/tool.ts';
import { type Edge, reload, requestEdge, startEdge, until } from './edge.ts';

describeWith(['nginx', 'openssl'], 'nginx: repetition', () => {
  let edge: Edge;
  beforeAll(async () => {
    edge = await startEdge();
  }, 120_000);
  afterAll(() => edge?.stop());

  test('a signed request that a daemon received and did not answer is not sent to another', async () => {
    let received = 0;
    const dying = await Promise.all(
      [0, 1].map(async () => {
        const server = createServer((socket) => {
          socket
            .on('error', () => undefined)
            .once('data', () => {
              received += 1;
              socket.destroy();
            });
        }).listen(0, '127.0.0.1');
        await once(server, 'listening');
        return server;
      }),
    );
    const file = join(edge.dir, 'agent-memory-servers.conf');
    const before = readFileSync(file, 'utf8');
    const answersBy = async (lines: string, status: number) => {
      writeFileSync(file, lines);
      reload(edge);
      await until(async () => (await requestEdge(edge, '/ready')).status === status, `the answer is ${status}`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    };
    await answersBy(
      dying.map((server) => `server 127.0.0.1:${(server.address() as AddressInfo).port} max_fails=0;\n`).join(''),
      503,
    );
    const timesSent = async (method: string, path: string, headers: Record<string, string>) => {
      received = 0;
      const { status } = await requestEdge(edge, path, { method, headers });
      return [method, path, status, received];
    };
    const stream = { accept: 'text/event-stream' };
    const askings: [string, string, Record<string, string>?][] = [
      ['GET', '/v1/events'],
      ['GET', '/v1/events', stream],
      ['GET', '/v1/usage'],
      ['HEAD', '/v1/usage'],
      ['PUT', '/v1/usage'],
      ['DELETE', '/v1/events/x'],
      ['GET', '/v1/export'],
      ['GET', '/auth/api-keys'],
    ];
    for (const [method, path, headers] of askings) {
      expect(await timesSent(method, path, { ...headers })).toEqual([method, path, 503, 2]);
      expect(await timesSent(method, path, { ...headers, 'x-signature': 't=1,n=2,v1=3' })).toEqual([method, path, 503, 1]);
    }
    await answersBy(before, 200);
    for (const server of dying) server.close();
  }, 60_000);
});
