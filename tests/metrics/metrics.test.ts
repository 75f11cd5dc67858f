import { execFileSync, spawnSync } from 'node:child_process';
import { message, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const scrape = async () => (await send<string>(daemon.url, 'GET', '/metrics')).body;

test('GET /metrics counts requests by route template and contains no tenant, id or subject', async () => {
  const alice = await newTenant(daemon.url);
  const { body } = await alice.request('POST', '/v1/events', { body: message('x') });
  await alice.request('GET', `/v1/events/${body.event_id}`);
  await alice.request('GET', '/nowhere/at/all');
  const text = await scrape();
  expect(text).toMatch(/agent_memory_total_requests\{route="\/v1\/events\/\{event_id\}",method="GET",status="200"\} 1/);
  expect(text).toMatch(/agent_memory_total_requests\{route="unknown",method="GET",status="404"\} 1/);
  for (const word of [alice.tenant_id, body.event_id, 'alice', 'nowhere']) expect(text).not.toContain(word);
});

test.each([
  'agent_memory_total_requests',
  'agent_memory_failed_requests',
  'agent_memory_latency_ms_bucket',
  'agent_memory_pool_connections',
  'agent_memory_pool_waiting',
  'nodejs_eventloop_lag_seconds',
])('GET /metrics has %s from the start', async (name) => {
  expect(await scrape()).toContain(name);
});

test('GET /metrics has the figures of the context-manager guide under its names', async () => {
  await (await newTenant(daemon.url)).request('GET', '/v1/profile');
  const text = await scrape();
  const figureOf = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  const total = [...text.matchAll(/^agent_memory_total_requests\{.*\} (\d+)$/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
  expect(figureOf('context_manager_requests_total')).toBe(total);
  expect(figureOf('context_manager_errors_total')).toBe(0);
  expect(figureOf('context_manager_active_connections')).toBeGreaterThanOrEqual(0);
  expect(figureOf('context_manager_avg_response_time_ms')).toBeGreaterThan(0);
  // no vector has been looked up
  expect(text).not.toMatch(/^context_manager_cache_hit_rate /m);
});

test('GET /metrics/json has the same metrics by name', async () => {
  const { body } = await send<Record<string, { values: unknown[] }>>(daemon.url, 'GET', '/metrics/json');
  expect(body.agent_memory_total_requests!.values.length).toBeGreaterThan(0);
  expect(body.agent_memory_latency_ms!.values.length).toBeGreaterThan(0);
});

test('GET /metrics has the figures of the AgentState guide under its names', async () => {
  const alice = await newTenant(daemon.url);
  await alice.request('POST', '/v1/events', { body: message('x') });
  await alice.request('POST', '/v1/events', { body: {} });
  const text = await scrape();
  const figureOf = (series: string) => Number(new RegExp(`^${series.replace(/[{}]/g, '\\$&')} (\\S+)$`, 'm').exec(text)?.[1]);
  const operations = ['ok', 'refused', 'error'].map((result) =>
    figureOf(`agentstate_ops_total{op="recordEvents",result="${result}"}`),
  );
  expect(operations).toEqual([figureOf('agent_memory_total_requests{route="/v1/events",method="POST",status="201"}'), 1, 0]);
  const durations = ['_count', '_sum'].map((of) => figureOf(`op_duration_seconds${of}{op="recordEvents"}`));
  const [count, sum_ms] = ['_count', '_sum'].map((of) =>
    figureOf(`agent_memory_latency_ms${of}{route="/v1/events",method="POST"}`),
  );
  expect(durations).toEqual([count, sum_ms! / 1000]);
  expect(text).toMatch(/^op_duration_seconds_bucket\{le="0.5",op="recordEvents"\} /m);
  // only operations of the API
  expect(text).not.toMatch(/op="readMetrics"/);
  const others = [
    'watch_clients_total',
    'watch_drops_total',
    'watch_backlog_events',
    'watch_emit_lag_seconds_count',
    'watch_resumes_total',
  ];
  for (const name of [...others, 'watch_events_total{type="put"}', 'rate_limit_exceeded_total'])
    expect([name, figureOf(name)]).toEqual([name, 0]);
});

/** Names to which promtool objects. They are those of the guides, whose queries must work unchanged. */
const exempt = [
  /^agent_memory_(total_requests|failed_requests|latency_ms) /,
  /^context_manager_\w+ /,
  // a gauge in the AgentState guide: the number of connected clients
  /^watch_clients_total non-counter metrics should not have "_total" suffix/,
];

const testByPromtool = spawnSync('promtool', ['--version']).error ? test.skip : test;
testByPromtool('GET /metrics parses by promtool (skipped if it is not installed)', async () => {
  const { stdout, stderr, status } = spawnSync('promtool', ['check', 'metrics'], { input: await scrape(), encoding: 'utf8' });
  // 3: it parses, but some names violate the naming conventions
  expect([0, 3]).toContain(status);
  const advice = `${stdout}${stderr}`.split('\n').filter((line) => line !== '');
  expect(advice.filter((line) => !exempt.some((name) => name.test(line)))).toEqual([]);
});

testByPromtool('promtool returns its documented exit codes (skipped if it is not installed)', () => {
  expect(() =>
    execFileSync('promtool', ['check', 'metrics'], { input: 'not a metric {', stdio: ['pipe', 'ignore', 'ignore'] }),
  ).toThrow();
});
