import { setTimeout as sleep } from 'node:timers/promises';
import { MARK, messages } from './dialogue.ts';
import { request } from './load.ts';
import { insertTenant } from './plain-rows.ts';
import type { Figure } from './report.ts';
import { alternate, quantile, ratioFigure } from './rounds.ts';
import { openStream } from './watch.ts';
import type { World } from './world.ts';

const PART = 'control';
const ROUNDS = 5;
const SECONDS = 2;
const PGBENCH_CLIENTS = 16;
const CLIENTS = 64;
const CALLERS = 200;
const AGENTS = 50;
const COST = 1000;
const KILLS = 100;
const REPLAYS = 100_000;
const REPLAYED = 200;
/** Longer than the run, so that no reservation expires. */
const HOUR_MS = 3_600_000;
/** Actions of the hot mandate are never settled. They expire soon, because a mandate has at most 10,000 open ones; their end is part of the cost. */
const HOT_MS = 500;

type Headers = Record<string, string>;

/** Compares authorisations and settlements with PostgreSQL alone and with appends, and measures kills and replays. */
export async function measureControl(world: World): Promise<Figure[]> {
  const headers = await world.tenant('control');
  return [...(await measureActions(world, headers)), await measureKills(world, headers), await measureReplays(world, headers)];
}

const actionsOf = (mandate: string) => `/v1/mandates/${mandate}/actions`;
const authorise = (headers: Headers, mandate: string, action_id = MARK, lease_ms = HOUR_MS) =>
  request('POST', actionsOf(mandate), headers, {
    action_id,
    type: 'tool_call',
    tool: 'search',
    estimate_micros: COST,
    lease_ms,
  });
const settle = (headers: Headers, mandate: string) =>
  request('POST', `${actionsOf(mandate)}/${MARK}/settle`, headers, { outcome: 'success', actual_micros: COST });

async function measureActions(world: World, headers: Headers): Promise<Figure[]> {
  const { url } = await world.daemon('one');
  const mandates = Array.from({ length: AGENTS }, (_, i) => `bench-${i}`);
  for (const id of mandates) await createMandate(url, headers, id);
  const [hot] = mandates;
  const latencies: Record<string, number[]> = { append: [], actions: [] };
  const run =
    (requests: string[], connections: number, extra: { sequence?: boolean; latencies?: string } = {}) =>
    async (seconds: number) => {
      const { sequence = false } = extra;
      const result = await world.generator.run({ urls: [url], connections, seconds, requests, sequence });
      if (Object.keys(result.statuses).some((status) => !/^20[01]$/.test(status)))
        throw new Error(JSON.stringify(result.statuses));
      if (extra.latencies) latencies[extra.latencies]!.push(...result.latencies);
      return result.count / result.seconds;
    };
  const appends = messages.map((message) => request('POST', '/v1/events', headers, message));
  // requests of one connection follow each other, so half of them are authorisations
  const pairs = mandates.flatMap((id) => [authorise(headers, id), settle(headers, id)]);
  const script = await pairScript(world);
  const rates = await alternate(
    [
      { name: 'pgbench', run: async (seconds) => 2 * (await world.pgbench.tps('actions', [script], PGBENCH_CLIENTS, seconds)) },
      { name: 'pairs', run: run(pairs, CLIENTS, { sequence: true }) },
      { name: 'appends', run: run(appends, CALLERS) },
      { name: 'hot', run: run([authorise(headers, hot!, MARK, HOT_MS)], CALLERS) },
      { name: 'append', run: run(appends, AGENTS, { latencies: 'append' }) },
      {
        name: 'actions',
        run: run(
          mandates.map((id) => authorise(headers, id)),
          AGENTS,
          { latencies: 'actions' },
        ),
      },
    ],
    ROUNDS,
    SECONDS,
  );
  const [ours, theirs] = [quantile(latencies.actions!, 0.95), quantile(latencies.append!, 0.95)];
  return [
    ratioFigure(rates, PART, 'authorising and settling ÷ pgbench writing the same rows in two transactions', 'pairs', 'pgbench', {
      min: 0.5,
    }),
    ratioFigure(rates, PART, `authorisations under one mandate by ${CALLERS} callers ÷ appends`, 'hot', 'appends', { min: 0.8 }),
    {
      part: PART,
      name: `authorisation p95 for ${AGENTS} agents ÷ append p95`,
      value: ours / theirs,
      unit: '',
      goal: { max: 2 },
      note: `${ours.toFixed(1)} ms ÷ ${theirs.toFixed(1)} ms`,
    },
  ];
}

async function createMandate(url: string, headers: Headers, mandate_id: string): Promise<void> {
  const answer = await fetch(`${url}/v1/mandates`, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json' },
    body: JSON.stringify({ mandate_id, agent_id: `agent-${mandate_id}`, max_cost_total_micros: 1e14, allowed_tools: ['search'] }),
  });
  if (answer.status !== 201) throw new Error(`mandate: ${answer.status} ${await answer.text()}`);
}

/** Returns a pgbench script with the two transactions of an action under one of 50 mandates: its reservation and its charge, each with an event. */
async function pairScript(world: World): Promise<string> {
  await insertTenant(world);
  await world.sql((client) =>
    client.query(
      `insert into mandates (tenant_id, mandate_id, seq, revision, chain, agent_id, definition, created_at)
      select 'plain', m.id, 0, m.id, array[m.id], m.id, '{"max_cost_total_micros": 100000000000000}', now()
      from generate_series(0, $1::int - 1) i cross join lateral (select 'bench-' || i) m (id)`,
      [AGENTS],
    ),
  );
  const event = (kind: string) =>
    `insert into events (tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, sensitivity, chunk_count, occurred_at, created_at)
values ('plain', :seq, 'evt_' || lpad(:seq::text, 26, '0'), 'bench', 'team', 'human', 'bench', '${kind}',
  jsonb_build_object('mandate_id', 'bench-' || :agent, 'action_id', :seq::text, 'tool', 'search'), 'none', 0, clock_timestamp(), clock_timestamp());`;
  return `\\set agent random(0, ${AGENTS - 1})
begin;
select nextval('bench_seq') as seq \\gset
update mandates set reserved_micros = reserved_micros + ${COST}, calls = calls + 1 where tenant_id = 'plain' and mandate_id = 'bench-' || :agent;
${event('action.authorised')}
insert into actions (tenant_id, mandate_id, action_id, seq, root_id, decision, state, type, tool, request_hash, asked_by, asked_user, terms,
  estimate_micros, reserved_micros, lapse_micros, answer, created_at, expires_at)
values ('plain', 'bench-' || :agent, :seq::text, :seq, 'bench-' || :agent, 'allow', 'open', 'tool_call', 'search', md5(:seq::text), 'bench', 'bench',
  '{"charging": "SUCCESS"}', ${COST}, ${COST}, 0, '{"decision": "allow"}', clock_timestamp(), clock_timestamp() + interval '1 minute');
commit;
\\set action :seq
begin;
select nextval('bench_seq') as seq \\gset
update mandates set reserved_micros = reserved_micros - ${COST}, spent_micros = spent_micros + ${COST}
where tenant_id = 'plain' and mandate_id = 'bench-' || :agent;
${event('action.settled')}
update actions set state = 'settled', seq = :seq, reserved_micros = 0, charged_micros = ${COST}, settlement = '{"outcome": "success"}', ended_at = clock_timestamp()
where tenant_id = 'plain' and mandate_id = 'bench-' || :agent and action_id = :action::text;
commit;
`;
}

/** Measures the time from sending a kill until followers on three daemons have its event. The kill itself holds for all daemons when it is answered. */
async function measureKills(world: World, headers: Headers): Promise<Figure> {
  const daemons = [await world.daemon('one'), await world.daemon('two'), await world.daemon('express')];
  const sent = new Map<string, number>();
  const lags: number[] = [];
  const deliver = (text: string) => {
    for (const [, agent] of text.matchAll(/"agent_id":"(victim-\d+)"[^\n]*/g))
      if (sent.has(agent!)) lags.push(performance.now() - sent.get(agent!)!);
  };
  const streams = await Promise.all(
    daemons.map(({ url }) => openStream(`${url}/v1/events?channel=team&kind=agent.killed`, headers, deliver)),
  );
  for (let i = 0; i < KILLS; i += 1) {
    const agent = `victim-${i}`;
    sent.set(agent, performance.now());
    const answer = await fetch(`${daemons[i % daemons.length]!.url}/v1/agents/${agent}/kill`, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body: JSON.stringify({ reason: 'bench' }),
    });
    if (answer.status !== 200) throw new Error(`kill: ${answer.status} ${await answer.text()}`);
    await answer.arrayBuffer();
    await sleep(20);
  }
  await sleep(1500);
  for (const close of streams) close();
  const expected = KILLS * daemons.length;
  if (lags.length !== expected) throw new Error(`${lags.length} deliveries instead of ${expected}`);
  const note = `p50 ${quantile(lags, 0.5).toFixed(1)} ms, ${expected} deliveries`;
  return {
    part: PART,
    name: 'kill p99, from sending it until followers on three daemons know',
    value: quantile(lags, 0.99),
    unit: 'ms',
    goal: { max: 100 },
    note,
  };
}

/** Sends the same actions again and again, and compares what is reserved with their number. */
async function measureReplays(world: World, headers: Headers): Promise<Figure> {
  const { url } = await world.daemon('one');
  const mandate = 'replayed';
  await createMandate(url, headers, mandate);
  const requests = Array.from({ length: REPLAYED }, (_, i) => authorise(headers, mandate, `action-${i}`));
  let count = 0;
  const began = performance.now();
  while (count < REPLAYS) {
    const result = await world.generator.run({ urls: [url], connections: CLIENTS, seconds: 5, requests });
    if (Object.keys(result.statuses).join() !== '201') throw new Error(JSON.stringify(result.statuses));
    count += result.count;
  }
  const seconds = (performance.now() - began) / 1000;
  const answer = await fetch(`${url}/v1/mandates/${mandate}`, { headers });
  const { usage } = (await answer.json()) as { usage: { reserved_micros: number; calls: number } };
  const excess = Math.abs(usage.reserved_micros / COST - REPLAYED) + Math.abs(usage.calls - REPLAYED);
  return {
    part: PART,
    name: `charges beyond ${REPLAYED} actions after ${count.toLocaleString('en')} requests for them`,
    value: excess,
    unit: '',
    goal: { max: 0 },
    note: `${Math.round(count / seconds)} replays/s`,
  };
}
