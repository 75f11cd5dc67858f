import { type ModelServer, startModelServer } from './model_server.ts';
import { openModelsAt } from './open_models.ts';

// The circuit breaker, with its four settings and its reset.

let server: ModelServer;
beforeEach(async () => {
  server = await startModelServer();
});
afterEach(() => server.kill());

const open = (overrides: Record<string, string> = {}) => openModelsAt(server.url, overrides);

test('the breaker opens after its failures, lets one request through after its time, and closes after its successes', async () => {
  const { models, figure } = open({ BREAKER_FAILURE_THRESHOLD: '3', BREAKER_TIMEOUT_MS: '300', BREAKER_SUCCESS_THRESHOLD: '2' });
  const state = () => figure('agent_memory_embeddings_breaker_state');
  const fail = () => server.behave((_, res) => Boolean(res.writeHead(500).end()));
  const query = (text: string) => models.embedQuery!('tnt_a', text);
  fail();
  for (const text of ['a', 'b']) expect(await query(text)).toBeNull();
  expect(await state()).toBe(0);
  expect(await query('c')).toBeNull();
  expect(await state()).toBe(1);
  expect(await query('d')).toBeNull();
  expect(server.asked).toHaveLength(3);
  const pause = () => new Promise((resolve) => setTimeout(resolve, 350));
  await pause();
  server.behave(undefined);
  expect(await query('e')).not.toBeNull();
  expect(await state()).toBe(0);
  // one more success is required: a single failure opens it again
  fail();
  expect(await query('f')).toBeNull();
  expect(await state()).toBe(1);
  await pause();
  server.behave(undefined);
  for (const text of ['g', 'h']) expect(await query(text)).not.toBeNull();
  fail();
  expect(await query('i')).toBeNull();
  expect(await state()).toBe(0);
});

test('a reset closes the breaker and forgets the failures', async () => {
  const { models, figure } = open({ BREAKER_FAILURE_THRESHOLD: '2', BREAKER_TIMEOUT_MS: '3600000' });
  await server.kill();
  for (const text of ['a', 'b']) expect(await models.embedQuery!('tnt_a', text)).toBeNull();
  await server.revive();
  expect(await models.embedQuery!('tnt_a', 'c')).toBeNull();
  models.reset();
  expect(await models.embedQuery!('tnt_a', 'c')).not.toBeNull();
  server.behave((_, res) => Boolean(res.writeHead(500).end()));
  expect(await models.embedQuery!('tnt_a', 'd')).toBeNull();
  expect(await figure('agent_memory_embeddings_breaker_state')).toBe(0);
});

test('a query waits no longer than its time, even while the breaker tries another request', async () => {
  const { models } = open({ EMBEDDINGS_QUERY_TIMEOUT_MS: '50', BREAKER_FAILURE_THRESHOLD: '1', BREAKER_TIMEOUT_MS: '100' });
  server.behave(() => new Promise(() => undefined));
  expect(await models.embedQuery!('tnt_a', 'a')).toBeNull();
  await new Promise((resolve) => setTimeout(resolve, 150));
  const ended = new AbortController();
  const trial = models.embedder!.client.passages(models.embedder!.model, 'tnt_a', ['x'], ended.signal).catch(() => undefined);
  expect(await models.embedQuery!('tnt_a', 'b')).toBeNull();
  ended.abort();
  await Promise.race([trial, server.kill()]);
  await server.revive();
});
