import { setTimeout as sleep } from 'node:timers/promises';
import { startBareServer } from './bare.ts';
import { messages } from './dialogue.ts';
import { request } from './load.ts';
import { insertTenant, literal } from './plain-rows.ts';
import type { Figure } from './report.ts';
import { alternate, quantile, ratioFigure } from './rounds.ts';
import { openStream } from './watch.ts';
import type { World } from './world.ts';

const PART = 'state';
const ROUNDS = 5;
const SECONDS = 2;
const CLIENTS = 16;
const NAMESPACE = 'bench';
const SIZES = { state4: 10_000, state6: 1_000_000 };
/** Objects with the same tag, which a query finds. */
const GROUP = 10;
const QUERIES = 200;
const FOLLOWERS = 200;
const CHANGES = 100;
const EVERY_MS = 50;

const body = { status: 'running', step: 3, note: 'Read files in blocks of 64 KiB' };
const tags = { type: 'task' };
const pathOf = (key: string) => `/v1/state/${NAMESPACE}/${key}`;

/** Compares writes, queries by tag, watches and leases with PostgreSQL alone and with each other. */
export async function measureState(world: World): Promise<Figure[]> {
  await Promise.all(Object.entries(SIZES).map(([tenant, count]) => fill(world, tenant, count)));
  return [
    ...(await measureWrites(world)),
    ...(await measureQueries(world)),
    await measureLag(world),
    ...(await measureMix(world)),
  ];
}

async function measureWrites(world: World): Promise<Figure[]> {
  const { url } = await world.daemon('one');
  const headers = await world.tenant('state');
  const put = Array.from({ length: 997 }, (_, i) => request('PUT', pathOf(`k${(i * 7919) % 10_000}`), headers, { body, tags }));
  const append = messages.map((message) => request('POST', '/v1/events', headers, message));
  // each request takes another lease
  const acquire = [request('PUT', '/v1/leases/job-@@@@@@@@@@@@', headers, { owner: 'worker', ttl_ms: 60_000 })];
  const run = (requests: string[], connections: number) => async (seconds: number) => {
    const { count, seconds: took, statuses } = await world.generator.run({ urls: [url], connections, seconds, requests });
    if (Object.keys(statuses).some((status) => !/^20[01]$/.test(status))) throw new Error(JSON.stringify(statuses));
    return count / took;
  };
  const script = await upsertScript(world);
  const rates = await alternate(
    [
      { name: 'pgbench', run: (seconds) => world.pgbench.tps('upsert', [script], CLIENTS, seconds) },
      { name: 'put', run: run(put, CLIENTS) },
      { name: 'append', run: run(append, 64) },
      { name: 'lease', run: run(acquire, 64) },
    ],
    ROUNDS,
    SECONDS,
  );
  return [
    ratioFigure(rates, PART, 'PUT ÷ pgbench upserting the object and inserting the event, 16 clients', 'put', 'pgbench', {
      min: 0.8,
    }),
    ratioFigure(rates, PART, 'acquiring a lease ÷ append, 64 clients', 'lease', 'append', { min: 0.8 }),
  ];
}

/** Returns a pgbench script that upserts one of 10,000 objects and inserts the event of the change. */
async function upsertScript(world: World): Promise<string> {
  await insertTenant(world);
  const [json, tagJson] = [JSON.stringify(body), JSON.stringify(tags)].map(literal);
  return `\\set number random(1, 10000)
with s as materialized (select nextval('bench_seq') as n), e as (
  insert into events (tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, sensitivity, chunk_count, occurred_at, created_at)
  select 'plain', n, 'evt_' || lpad(n::text, 26, '0'), 'state', 'team', 'human', 'bench', 'state.put',
    jsonb_build_object('namespace', 'bench', 'key', 'k' || :number, 'body', ${json}::jsonb, 'tags', ${tagJson}::jsonb), 'none', 0, clock_timestamp(), clock_timestamp()
  from s)
insert into state_objects (tenant_id, namespace, key, channel, life, version, seq, body, tags, created_at, updated_at)
select 'plain', 'bench', 'k' || :number, 'team', 'live', 1, n, ${json}::jsonb, ${tagJson}::jsonb, clock_timestamp(), clock_timestamp() from s
on conflict (tenant_id, namespace, key) do update
set version = state_objects.version + 1, seq = excluded.seq, body = excluded.body, tags = excluded.tags, updated_at = excluded.updated_at;
`;
}

/** Creates a tenant with this many objects, ten of which have the same tag. They have no events: queries of the present do not read the log. */
async function fill(world: World, tenant: string, count: number): Promise<void> {
  await world.tenant(tenant);
  await world.sql(async (client) => {
    await client.query("set session_replication_role = 'replica'");
    await client.query(
      `insert into state_objects (tenant_id, namespace, key, channel, life, version, seq, body, tags, created_at, updated_at)
      select $1, $2, 'k' || i, 'team', 'live', 1, i, $4::jsonb, jsonb_build_object('type', 'task', 'group', 'g' || i / $5::int), now(), now()
      from generate_series(1, $3::int) i`,
      [tenant, NAMESPACE, count, JSON.stringify(body), GROUP],
    );
    await client.query('update tenant_clocks set last_seq = $2, event_count = $2 where tenant_id = $1', [tenant, count]);
    await client.query('vacuum analyze state_objects');
  });
}

async function measureQueries(world: World): Promise<Figure[]> {
  const { url } = await world.daemon('one');
  const bare = await startBareServer(world, 'state4');
  const groups = (tenant: keyof typeof SIZES) =>
    Array.from({ length: QUERIES }, (_, i) => `g${1 + ((i * 7919) % (SIZES[tenant] / GROUP - 2))}`);
  const queries = async (tenant: keyof typeof SIZES) => {
    const headers = await world.tenant(tenant);
    return groups(tenant).map((group) =>
      request('POST', '/v1/state/query', headers, { namespace: NAMESPACE, tags: { group }, limit: 50 }),
    );
  };
  const latencies: Record<string, number[]> = { state4: [], state6: [] };
  const ours = (tenant: keyof typeof SIZES, requests: string[]) => async (seconds: number) => {
    const result = await world.generator.run({ urls: [url], connections: CLIENTS, seconds, requests });
    if (Object.keys(result.statuses).join() !== '200') throw new Error(JSON.stringify(result.statuses));
    latencies[tenant]!.push(...result.latencies);
    return result.count / result.seconds;
  };
  const plain = groups('state4').map((group) => request('GET', `/tags/${group}`, {}));
  const rates = await alternate(
    [
      {
        name: 'bare',
        run: (seconds) => world.generator.rate({ urls: [bare.url], connections: CLIENTS, seconds, requests: plain }, '200'),
      },
      { name: '10⁴', run: ours('state4', await queries('state4')) },
      { name: '10⁶', run: ours('state6', await queries('state6')) },
    ],
    ROUNDS,
    SECONDS,
  );
  bare.stop();
  const p95 = (tenant: string) => quantile(latencies[tenant]!, 0.95);
  return [
    ratioFigure(rates, PART, 'query by tag (10 of 10⁴ objects) ÷ bare node:http + pg', '10⁴', 'bare', { min: 0.3 }),
    {
      part: PART,
      name: 'query by tag, p95 at 10⁶ objects ÷ at 10⁴',
      value: p95('state6') / p95('state4'),
      unit: '',
      goal: { max: 2 },
      note: `${p95('state6').toFixed(1)} ms ÷ ${p95('state4').toFixed(1)} ms`,
    },
  ];
}

/** Measures the time from sending a change until each watcher has it, with one watcher and with 200. */
async function measureLag(world: World): Promise<Figure> {
  const { url } = await world.daemon('one');
  const headers = await world.tenant('state');
  const lagsOf = async (followers: number): Promise<number[]> => {
    const sent = new Map<string, number>();
    const lags: number[] = [];
    const deliver = (text: string) => {
      for (const [, key] of text.matchAll(/"key":"(lag-[^"]+)"/g)) lags.push(performance.now() - sent.get(key!)!);
    };
    const streams = await Promise.all(
      Array.from({ length: followers }, () => openStream(`${url}/v1/state/${NAMESPACE}?prefix=lag-`, headers, deliver)),
    );
    for (let i = 0; i < CHANGES; i += 1) {
      const key = `lag-${followers}-${i}`;
      sent.set(key, performance.now());
      const answer = await fetch(url + pathOf(key), {
        method: 'PUT',
        headers: { ...headers, 'Content-Type': 'application/json' },
        body: JSON.stringify({ body, tags }),
      });
      if (answer.status !== 201) throw new Error(await answer.text());
      await answer.arrayBuffer();
      await sleep(EVERY_MS);
    }
    await sleep(1500);
    for (const close of streams) close();
    if (lags.length !== followers * CHANGES) throw new Error(`${lags.length} deliveries instead of ${followers * CHANGES}`);
    return lags;
  };
  const [one, all] = [quantile(await lagsOf(1), 0.95), quantile(await lagsOf(FOLLOWERS), 0.95)];
  const note = `${all.toFixed(1)} ms ÷ ${one.toFixed(1)} ms`;
  return { part: PART, name: `watch lag p95, ${FOLLOWERS} watchers ÷ one`, value: all / one, unit: '', goal: { max: 3 }, note };
}

// The load that AgentState publishes for itself: 10 workers create, 20 query a namespace, 15 do both (70 % creates) for 30 s. Its README states 1,400 writes
// and 170 queries per second, without durable commits.
const MIX_SECONDS = 30;

async function measureMix(world: World): Promise<Figure[]> {
  const { url } = await world.daemon('one');
  const headers = await world.tenant('mix');
  const create = request('PUT', pathOf('object-@@@@@@@@@@@@'), headers, { body, tags });
  const query = request('POST', '/v1/state/query', headers, { namespace: NAMESPACE, tags, limit: 50 });
  const figure = async (
    name: string,
    connections: number,
    requests: string[],
    seconds: number,
    theirs?: number,
  ): Promise<Figure> => {
    const result = await world.generator.run({ urls: [url], connections, seconds, requests });
    const errors = Object.entries(result.statuses).filter(([status]) => !status.startsWith('20'));
    if (errors.length > 0) throw new Error(JSON.stringify(result.statuses));
    const peer = theirs === undefined ? '' : `; AgentState states ${theirs}/s`;
    const note = `p95 ${quantile(result.latencies, 0.95).toFixed(1)} ms, 0 errors of ${result.count}${peer}`;
    return { part: PART, name, value: result.count / result.seconds, unit: '/s', note };
  };
  return [
    await figure('objects created by 10 workers', 10, [create], 5, 1400),
    await figure('queries by tag by 20 workers, 50 objects each', 20, [query], 5, 170),
    await figure(
      '70 % creates and 30 % queries by 15 workers',
      15,
      [...Array(7).fill(create), ...Array(3).fill(query)],
      MIX_SECONDS,
    ),
  ];
}
