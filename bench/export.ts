import { cpuOf } from './cpu.ts';
import { peakMemory } from './daemon.ts';
import type { Figure } from './report.ts';
import type { World } from './world.ts';

const EVENTS = Number(process.env.BENCH_EXPORT_EVENTS ?? 1_000_000);
const IMPORTED = 100_000;

/** Measures the export of a tenant's whole log, and the import of a smaller one into an empty tenant. The rows are inserted by SQL. */
export async function measureExport(world: World): Promise<Figure[]> {
  const { url, pid } = await world.daemon('two');
  await fill(world, 'exported', EVENTS);
  const headers = await world.tenant('exported');
  const before = cpuOf(pid);
  const out = await takeOut(url, headers);
  const cpu = (cpuOf(pid) - before) / EVENTS;
  const memory = peakMemory(pid);
  await fill(world, 'smaller', IMPORTED);
  const file = await (await fetch(`${url}/v1/export`, { headers: await world.tenant('smaller') })).arrayBuffer();
  const started = performance.now();
  const answer = await fetch(`${url}/v1/import`, {
    method: 'POST',
    headers: { ...(await world.tenant('imported')), 'Content-Type': 'application/x-ndjson' },
    body: file,
  });
  if (answer.status !== 202) throw new Error(`import: ${answer.status} ${await answer.text()}`);
  const importSeconds = (performance.now() - started) / 1000;
  return [
    { part: 'export', name: `events exported of ${EVENTS}`, value: EVENTS / out.seconds, unit: '/s', goal: { min: 20_000 } },
    { part: 'export', name: 'CPU time of the daemon per exported event', value: cpu, unit: 'µs' },
    {
      part: 'export',
      name: 'peak memory of the daemon while it exports (RSS)',
      value: memory,
      unit: 'MiB',
      goal: { max: 200 },
    },
    { part: 'export', name: `events imported of ${IMPORTED}`, value: IMPORTED / importSeconds, unit: '/s' },
  ];
}

async function takeOut(url: string, headers: Record<string, string>): Promise<{ seconds: number }> {
  const started = performance.now();
  const response = await fetch(`${url}/v1/export`, { headers });
  let end = '';
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>)
    end = (end + Buffer.from(part.subarray(-500)).toString()).slice(-500);
  if (!end.includes(`"event":${EVENTS}`)) throw new Error(`the export is incomplete: ${end}`);
  return { seconds: (performance.now() - started) / 1000 };
}

/** Inserts the rows of a log by SQL. */
export async function fill(world: World, tenant: string, events: number): Promise<void> {
  await world.tenant(tenant);
  await world.sql(async (client) => {
    await client.query(
      `insert into events (
         tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, project_id, sensitivity,
         tags, refs, metadata, chunk_count, byte_count, occurred_at, created_at)
       select $1, n, 'evt_' || lpad(n::text, 26, '0'), 's' || n % 1000, 'team', 'human', 'bench', 'message',
         jsonb_build_object('text', 'event ' || n || repeat(' of which much is said in a line or two', 4)), 'bench', 'p', 'none',
         array['bench'], '{}', '{"run": 1}', 1, 300, now(), now()
       from generate_series(1, $2::bigint) n`,
      [tenant, events],
    );
    await client.query(
      `update tenant_clocks set last_seq = $2::bigint, event_count = $2::bigint, stored_bytes = $2::bigint * 700 where tenant_id = $1`,
      [tenant, events],
    );
    await client.query('vacuum analyze events');
  });
}
