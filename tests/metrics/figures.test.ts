import { createMetrics, type Metrics } from '../../src/metrics/index.ts';
import { message, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { readEvents } from '../support/sse.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon({ CONSISTENCY_AT_ONCE: '0' });
});
afterAll(() => daemon.stop());

/** Returns the value of a series; undefined if it does not exist. */
async function figure(series: string): Promise<number | undefined> {
  const { body } = await send<string>(daemon.url, 'GET', '/metrics');
  const line = body.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

async function reaches(series: string, value: number): Promise<void> {
  const until = Date.now() + 20_000;
  while ((await figure(series)) !== value && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
  expect([series, await figure(series)]).toEqual([series, value]);
}

test('the ping of a scrape does not count as a waiting request', async () => {
  expect(await figure('agent_memory_ready')).toBe(1);
  // the last ping is reused for half a second
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(await figure('agent_memory_pool_waiting')).toBe(0);
});

test('problems are counted by type, with series for logins from the start', async () => {
  const series = 'agent_memory_refused_requests_total{route="/auth/login",problem="unauthenticated"}';
  expect(await figure(series)).toBe(0);
  const { tenant_id, username } = await newTenant(daemon.url);
  await send(daemon.url, 'POST', '/auth/login', { body: { tenant_id, username, password: 'wrong horse 9 battery' } });
  expect(await figure(series)).toBe(1);
  await send(daemon.url, 'GET', '/nowhere');
  expect(await figure('agent_memory_refused_requests_total{route="unknown",problem="not-found"}')).toBe(1);
});

test('the lag of followers counts new events only, and streams do not count as slow responses', async () => {
  const alice = await newTenant(daemon.url);
  const write = (text: string) => alice.request('POST', '/v1/events', { body: message(text) });
  await write('old');
  const abort = new AbortController();
  const response = await fetch(`${daemon.url}/v1/events?after=0`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${alice.token}` },
    signal: abort.signal,
  });
  const events = readEvents(response);
  const next = async () => {
    for (;;) {
      const { value } = await events.next();
      if (value.data) return JSON.parse(value.data).content.text;
    }
  };
  expect(await next()).toBe('old');
  await reaches('agent_memory_followers', 1);
  expect(await figure('agent_memory_watch_lag_seconds_count')).toBe(0);
  expect(await figure('agent_memory_follower_backlog_events')).toBe(0);
  await write('new');
  expect(await next()).toBe('new');
  await reaches('agent_memory_watch_lag_seconds_count', 1);
  expect(await figure('agent_memory_watch_lag_seconds_sum')).toBeLessThan(20);
  abort.abort();
  await reaches('agent_memory_followers', 0);
  await reaches('agent_memory_total_requests{route="/v1/events",method="GET",status="499"}', 1);
  expect(await figure('agent_memory_latency_ms_count{route="/v1/events",method="GET"}')).toBeUndefined();
});

test('commits are counted with their writes, jobs with their outcomes', async () => {
  const alice = await newTenant(daemon.url);
  const units = (await figure('agent_memory_commit_batch_units_sum'))!;
  await Promise.all(Array.from({ length: 5 }, (_, i) => alice.request('POST', '/v1/events', { body: message(`${i}`) })));
  await reaches('agent_memory_commit_batch_units_sum', units + 5);
  expect(await figure('agent_memory_commit_seconds_count')).toBe(await figure('agent_memory_commit_batch_units_count'));
  expect(await figure('agent_memory_jobs_total{kind="consistency",outcome="done"}')).toBe(0);
  expect((await alice.request('GET', '/v1/consistency')).status).toBe(202);
  await reaches('agent_memory_jobs_total{kind="consistency",outcome="done"}', 1);
  await reaches('agent_memory_jobs_running', 0);
});

const none = () => 0;
const away = (): Metrics => {
  const metrics = createMetrics({ version: '1.2.3', engine: 'postgresql' });
  metrics.read({
    ready: async () => false,
    pool: () => ({ max: 20, total: 3, idle: 1, waiting: 7, refused: 4, lost: 2 }),
    listens: () => false,
    writes: () => ({ queued: 0, queuedChars: 0, inFlight: 0 }),
    requestsInFlight: none,
    bodyBytesInFlight: none,
    workers: () => ({ running: 1, waiting: 5 }),
    sweeps: () => ({ last_success_s: undefined, failed: undefined, tallies: undefined }),
    limitStore: () => ({ kind: 'redis', answers: false }),
    operationOf: () => undefined,
  });
  return metrics;
};

test('unavailable components read 0', async () => {
  const metrics = away();
  const [, text] = [await metrics.text(), await metrics.text()];
  for (const line of [
    'agent_memory_ready 0',
    'agent_memory_rate_limit_store_up{store="redis"} 0',
    'agent_memory_pool_waiting 7',
    // the value is read, not added at each scrape
    'agent_memory_pool_refused_total 4',
    'agent_memory_pool_lost_total 2',
    'agent_memory_worker_tasks_running 1',
    'agent_memory_worker_tasks_waiting 5',
  ])
    expect(text.split('\n')).toContain(line);
  // not zero, which would be 1970
  expect(text).not.toMatch(/^agent_memory_sweep_last_success_timestamp_seconds/m);
  expect(text).toMatch(/agent_memory_build_info\{version="1.2.3",engine="postgresql",node="v[\d.]+"\} 1/);
});

test('the event loop delay covers the time since the last scrape', async () => {
  const metrics = away();
  const turn = () => new Promise((resolve) => setTimeout(resolve, 50));
  const delay = async () => Number(/^agent_memory_event_loop_delay_p999_seconds (\S+)$/m.exec(await metrics.text())![1]);
  await delay();
  await turn();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
  await turn();
  expect(await delay()).toBeGreaterThan(0.3);
});
