import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { withTimeout } from '../../src/http/timeout.ts';

test.each(['before', 'after'])('the signal is aborted if the client disconnects %s the work requests it', async (when) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const request = get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  request.on('error', () => undefined);
  const [, res] = await once(server, 'request');
  const aborted = await withTimeout(60_000, res, async (signalOf) => {
    const signal = when === 'after' ? signalOf() : undefined;
    const left = once(res, 'close');
    request.destroy();
    await left;
    return (signal ?? signalOf()).aborted;
  });
  expect(aborted).toBe(true);
  server.close();
});
