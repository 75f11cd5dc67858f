import { setTimeout as sleep } from 'node:timers/promises';
import { Client as PgClient } from 'pg';
import { type Config, loadConfig } from '../src/config.ts';
import { readRoutes } from '../src/reads.ts';
import { secretSettings } from '../src/settings.ts';
import type { Workers } from '../src/work/index.ts';
import { workerDataOf } from '../src/workers.ts';
import { type Client, message, newTenant } from './support/client.ts';
import { builtWorkers, startTestDaemon, type TestDaemon } from './support/daemon.ts';
import { describeOnServer, onEmbedded } from './support/database.ts';

// Heavy reads run in worker threads, and tenants take turns. The tests control how long a read takes: the filter waits for an advisory lock if
// the metadata of an event contains `held`.

const HELD = { text: 'held', metadata: { held: true } };
/** A read that is heavy because of its limit, for any number of events. */
const held = `/v1/events?channel=team&limit=1000&filter=${encodeURIComponent(JSON.stringify({ kind: 'message' }))}`;
const timeouts = { REQUEST_TIMEOUT_MS: '120000', PGSTATEMENT_TIMEOUT: '60000', PGQUERY_TIMEOUT: '61000' };

let daemon: TestDaemon;
let workers: Workers;
let holder: PgClient;
beforeAll(async () => {
  daemon = await startTestDaemon({ ...timeouts, WORKERS_QUEUE: '16' }, undefined, (config: Config) => {
    workers = builtWorkers(config);
    return workers;
  });
  if (!onEmbedded()) holder = await makeFiltersWait(daemon.env);
});
afterAll(async () => {
  await holder?.end();
  await daemon.stop();
});

async function makeFiltersWait({ PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD }: Record<string, string>): Promise<PgClient> {
  const client = new PgClient({ host: PGHOST, port: Number(PGPORT), user: PGUSER, database: PGDATABASE, password: PGPASSWORD });
  await client.connect();
  await client.query(`
    alter function event_matches(events, jsonb, boolean, text) rename to event_matches_at_once;
    create function event_matches(p_event events, p_filter jsonb, p_withheld boolean, p_channel text) returns boolean
    language plpgsql as $$
    begin
      if p_event.metadata ? 'held' then perform pg_advisory_xact_lock_shared(1); end if;
      return event_matches_at_once(p_event, p_filter, p_withheld, p_channel);
    end $$`);
  return client;
}

const hold = () => holder.query('select pg_advisory_lock(1)');
const release = () => holder.query('select pg_advisory_unlock_all()');

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; !(await what()); i += 1) {
    if (i > 3_000) throw new Error(`the condition was not met in time: ${what}`);
    await sleep(20);
  }
}

/** Creates a tenant whose filtered lists wait while the lock is held. */
async function newHeavy(): Promise<Client> {
  const client = await newTenant(daemon.url);
  expect((await client.request('POST', '/v1/events', { body: { channel: 'team', kind: 'message', ...HELD } })).status).toBe(201);
  return client;
}

/** Whether a read ran on the event loop, without a worker. */
async function ranInPlace(read: () => Promise<unknown>): Promise<boolean> {
  const runs = jest.spyOn(workers, 'run');
  await read();
  const calls = runs.mock.calls.length;
  runs.mockRestore();
  return calls === 0;
}

const statuses = async (answers: Promise<{ status: number }>[]) => (await Promise.all(answers)).map(({ status }) => status);

describeOnServer('it has connections for workers', () => {
  test('while eight heavy reads of one tenant are blocked, light and heavy reads of another are answered', async () => {
    const [mallory, alice] = [await newHeavy(), await newTenant(daemon.url)];
    await hold();
    const answers = Array.from({ length: 8 }, () => mallory.request('GET', held));
    await until(() => workers.figures().waiting === 7);
    expect((await alice.request('POST', '/v1/events', { body: { ...message('x'), channel: 'team' } })).status).toBe(201);
    expect((await alice.request('POST', '/v1/search', { body: { query: 'x', channel: 'team' } })).status).toBe(200);
    expect((await alice.request('GET', held)).body.data).toHaveLength(1);
    // Its own light requests are answered too.
    expect((await mallory.request('GET', '/v1/events?channel=team')).status).toBe(200);
    expect(workers.figures()).toEqual({ waiting: 7, running: 1 });
    await release();
    expect(await statuses(answers)).toEqual(Array(8).fill(200));
  });

  test('a read of unknown duration does not wait for a worker once it has been measured to be short', async () => {
    const client = await newHeavy();
    const context = () => client.request('POST', '/v1/context', { body: { query: 'held', channel: 'team' } });
    // The first read in a worker and the first on the event loop load the tokenizer's tables; repeat until both were short.
    await until(async () => (await context()).status === 200 && (await ranInPlace(context)) && (await ranInPlace(context)));
    await hold();
    const long = client.request('GET', held);
    await until(() => workers.figures().running === 1);
    expect((await context()).status).toBe(200);
    expect(workers.figures()).toEqual({ waiting: 0, running: 1 });
    await release();
    expect((await long).status).toBe(200);
  });

  test('a burst right after a start is not rejected', async () => {
    const client = await newHeavy();
    await hold();
    const long = client.request('GET', held);
    await until(() => workers.figures().running === 1);
    const context = () => client.request('POST', '/v1/context', { body: { query: 'held', channel: 'team' } });
    const burst = Array.from({ length: 12 }, context);
    await until(() => workers.figures().waiting === 1);
    await release();
    expect(await statuses([long, ...burst])).toEqual(Array(13).fill(200));
  });

  test('a tenant may fill half of the queue; further reads return 429 with the name of the setting', async () => {
    const mallory = await newHeavy();
    await hold();
    const answers = Array.from({ length: 9 }, () => mallory.request('GET', held));
    await until(() => workers.figures().waiting === 8);
    const { status, body, headers } = await mallory.request('GET', held);
    expect([status, headers.get('retry-after')]).toEqual([429, '1']);
    expect(body.detail).toContain('WORKERS_QUEUE');
    await release();
    expect(await statuses(answers)).toEqual(Array(9).fill(200));
  });

  test('a read whose client has disconnected occupies its worker until the database has ended the query', async () => {
    const mallory = await newHeavy();
    await hold();
    const leave = new AbortController();
    const authorization = `Bearer ${mallory.token}`;
    const left = fetch(daemon.url + held, { headers: { authorization }, signal: leave.signal }).catch(() => 'left');
    await until(() => workers.figures().running === 1);
    const next = mallory.request('GET', held);
    await until(() => workers.figures().waiting === 1);
    leave.abort();
    expect(await left).toBe('left');
    await sleep(50);
    expect(workers.figures()).toEqual({ waiting: 1, running: 1 });
    await release();
    expect((await next).status).toBe(200);
    await until(() => workers.figures().running === 0);
  });
});

const NO_MODELS = { embedQuery: undefined, rerank: undefined, vectors: undefined, rerank_top: 2, names: {} };

test('readRoutes contains every route with heavy reads', () => {
  const heavy = (routes: { operation: string; heavy?: unknown }[]) =>
    routes.flatMap(({ operation, heavy }) => (heavy ? [operation] : [])).sort();
  const config = loadConfig({ JWT_SECRET: 'x'.repeat(32) });
  expect(heavy(daemon.routes)).toEqual(heavy(readRoutes(config, NO_MODELS)));
  expect(heavy(daemon.routes).length).toBeGreaterThan(0);
});

test('a worker gets no secret setting except those of the database', () => {
  const secrets = Object.fromEntries(secretSettings.map((name) => [name, Buffer.alloc(32, name).toString('base64')]));
  const { config } = workerDataOf({ ...loadConfig({ JWT_SECRET: secrets.JWT_SECRET }), ...secrets });
  expect(secretSettings.filter((name) => name in config)).toEqual(['PGPASSWORD', 'POSTGRES_PASSWORD', 'DATABASE_URL']);
});

test('workers and the event loop return the same responses and problems', async () => {
  const client = await newTenant(daemon.url);
  const events = Array.from({ length: 150 }, (_, i) => ({ ...message(`the planner counts ${i}`), channel: 'team' }));
  const { body: made } = await client.request('POST', '/v1/events', { body: { events } });
  const fact = { kind: 'fact', scope: 'global', channel: 'team', session_id: 's', text: 'the planner counts', refs: [] };
  const { status: stated, body: memory } = await client.request('POST', '/v1/memories', {
    body: { ...fact, refs: [made.data[0].event_id] },
  });
  expect(stated).toBe(201);
  const asked: [string, string, object?, number?][] = [
    ['GET', '/v1/events?channel=team&limit=1000'],
    ['GET', '/v1/events?channel=team&kind=message&order=desc'],
    ['GET', '/v1/events?channel=team&limit=1000&cursor=nonsense', undefined, 422],
    ['GET', '/v1/memories?channel=team&limit=1000'],
    ['GET', `/v1/memories/${memory.memory_id}/versions?limit=1000`],
    ['GET', `/v1/memories/${memory.memory_id}/history?limit=1000`],
    ['GET', '/v1/memories/mem_00000000000000000000000000/history?limit=1000', undefined, 404],
    ['POST', '/v1/search', { query: 'planner counts', channel: 'team', limit: 200 }],
    ['POST', '/v1/context?render=text', { query: 'planner counts', channel: 'team', max_tokens: 100_000 }],
    ['POST', '/v1/context', { query: 'planner', channel: 'team', capsules: ['cap_00000000000000000000000000'] }, 404],
  ];
  // On the embedded engine all reads run on the event loop; the test then checks only the statuses.
  const other = onEmbedded() ? daemon : await startTestDaemon({ PGPOOL_MAX: '2', PGPOOL_MIN: '1', WORKERS: '2' }, daemon.env);
  try {
    for (const [method, path, body, status = 200] of asked) {
      const answers = await Promise.all(
        [daemon, other].map(async ({ url }) => {
          const answer = await fetch(url + path, {
            method,
            headers: { authorization: `Bearer ${client.token}`, ...(body && { 'content-type': 'application/json' }) },
            ...(body && { body: JSON.stringify(body) }),
          });
          const { context_id: _, request_id: __, ...rest } = (await answer.json()) as Record<string, unknown>;
          return { status: answer.status, type: answer.headers.get('content-type'), rest };
        }),
      );
      expect(answers[0]).toEqual(answers[1]);
      expect([path, answers[0]!.status]).toEqual([path, status]);
    }
  } finally {
    if (!onEmbedded()) await other.stop();
  }
});
