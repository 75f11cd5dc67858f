import { once } from 'node:events';
import { connect } from 'node:net';
import { startTestDaemon } from '../support/daemon.ts';

test('a connection without any request does not delay the shutdown', async () => {
  const daemon = await startTestDaemon({ SHUTDOWN_DELAY_MS: '0', SHUTDOWN_TIMEOUT_MS: '600000' });
  const { hostname, port } = new URL(daemon.url);
  const silent = connect(Number(port), hostname);
  silent.on('error', () => undefined);
  await once(silent, 'connect');
  // accepted by the daemon too
  expect((await fetch(`${daemon.url}/health/live`)).status).toBe(200);
  // a delayed shutdown would take all of SHUTDOWN_TIMEOUT_MS, longer than the timeout of the test
  await daemon.stop();
  silent.destroy();
});
