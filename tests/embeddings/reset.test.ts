import { newTenant, send } from '../support/client.ts';
import { spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startModelServer } from './model_server.ts';
import { modelEnv } from './open_models.ts';

test('SIGUSR2 closes the circuit breakers of a daemon', async () => {
  const [server, database] = await Promise.all([startModelServer(), daemonDatabase()]);
  await server.kill();
  const breaker = { BREAKER_FAILURE_THRESHOLD: '1', BREAKER_TIMEOUT_MS: '3600000' };
  const daemon = await spawnDaemon(database.env, { ...modelEnv(server.url), ...breaker });
  const state = async () => {
    const { body } = await send<string>(daemon.url, 'GET', '/metrics');
    return /^agent_memory_embeddings_breaker_state (.+)$/m.exec(body)?.[1];
  };
  const alice = await newTenant(daemon.url);
  const find = async () => (await alice.request('POST', '/v1/search', { body: { query: 'the plan' } })).body;
  expect(await find()).toMatchObject({ degraded: ['embeddings'] });
  expect(await state()).toBe('1');
  await server.revive();
  expect(await find()).toMatchObject({ degraded: ['embeddings'] });
  daemon.child.kill('SIGUSR2');
  await eventually(async () => (await state()) === '0', 'a closed breaker');
  expect(await find()).toMatchObject({ degraded: [] });
  await daemon.kill('SIGTERM');
  await database.release();
  await server.kill();
});
