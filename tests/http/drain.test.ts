import { once } from 'node:events';
import { connect } from 'node:net';
import { startTestDaemon } from '../support/daemon.ts';

test('a connection that never said anything does not hold up the end', async () => {
  const daemon = await startTestDaemon({ SHUTDOWN_DELAY_MS: '0', SHUTDOWN_TIMEOUT_MS: '60000' });
  const { hostname, port } = new URL(daemon.url);
  const silent = connect(Number(port), hostname);
  silent.on('error', () => undefined);
  await once(silent, 'connect');
  // taken up by the daemon too
  expect((await fetch(`${daemon.url}/health/live`)).status).toBe(200);
  const from = performance.now();
  await daemon.stop();
  // it was held up for all of SHUTDOWN_TIMEOUT_MS
  expect(performance.now() - from).toBeLessThan(8000);
  silent.destroy();
});
