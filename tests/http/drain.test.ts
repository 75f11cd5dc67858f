import { once } from 'node:events';
import { connect } from 'node:net';
import { startTestDaemon } from '../support/daemon.ts';

test('a connection that never said anything does not hold up the end', async () => {
  const daemon = await startTestDaemon({ SHUTDOWN_DELAY_MS: '0', SHUTDOWN_TIMEOUT_MS: '600000' });
  const { hostname, port } = new URL(daemon.url);
  const silent = connect(Number(port), hostname);
  silent.on('error', () => undefined);
  await once(silent, 'connect');
  // taken up by the daemon too
  expect((await fetch(`${daemon.url}/health/live`)).status).toBe(200);
  // held up, it would end after all of SHUTDOWN_TIMEOUT_MS, long after the test has been given up
  await daemon.stop();
  silent.destroy();
});
