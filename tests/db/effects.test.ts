import { Client } from 'pg';
import { newId } from '../../src/id.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';

// The guarantees of the group commit for the effects of a noun (docs/decisions/effects.md), tested with a noun made for this purpose:
// counters with compare-and-set. It is not a feature: one table, a `judge` and an `apply` hook in a separate database.

const NOUN = `
create table counters (
  tenant_id text not null,
  name text not null,
  version int not null,
  seq bigint not null,
  judged int not null default 0,
  constraint counters_pkey primary key (tenant_id, name)
);
select wall('counters', 'select, insert, update, delete');
select noun('counters');

create function counters_judge(p_tenant text, p_units jsonb, p_at timestamptz) returns setof judgement
language plpgsql
as $$
declare
  -- as the units of this batch leave them
  v_versions jsonb := '{}';
  v_asked record;
  v_version int;
begin
  for v_asked in
    select u.ord::int as unit, r.name, r.version
    from jsonb_array_elements(p_units) with ordinality u (doc, ord)
    cross join lateral jsonb_array_elements(u.doc -> 'events') e (doc)
    cross join lateral jsonb_to_record(e.doc #> '{effects,counters}') r (name text, version int)
    where r.name is not null
    order by u.ord
  loop
    update counters c set judged = c.judged + 1 where c.tenant_id = p_tenant and c.name = v_asked.name;
    v_version := coalesce(
      (v_versions ->> v_asked.name)::int,
      (select c.version from counters c where c.tenant_id = p_tenant and c.name = v_asked.name), 0);
    if v_asked.version <> v_version then
      return next row(v_asked.unit, jsonb_build_object('code', 'AM412', 'detail', format('the counter has version %s', v_version)), null)::judgement;
    else
      v_versions := v_versions || jsonb_build_object(v_asked.name, v_version + 1);
    end if;
  end loop;
end $$;

create function counters_apply(p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
as $$
declare
  v_effect effect;
begin
  foreach v_effect in array p_effects loop
    insert into counters (tenant_id, name, version, seq)
    values (p_tenant, v_effect.doc ->> 'name', 1, v_effect.seq)
    on conflict (tenant_id, name) do update set version = counters.version + 1, seq = excluded.seq;
  end loop;
  return array(
    select row('counters', e.unit, e.event, jsonb_build_object('version', (e.doc ->> 'version')::int + 1), true)::answer from unnest(p_effects) e);
end $$;`;

let copy: TestDatabase;
let client: Client;
beforeAll(async () => {
  copy = await cloneDatabase();
  client = new Client(copy.connection);
  await client.connect();
  await client.query(NOUN);
});
afterAll(async () => {
  await client.end();
  await copy.release();
});

let tenant: string;
beforeEach(async () => {
  tenant = newId('t');
  await inTenant('insert into tenants (tenant_id) values ($1)');
  await inTenant('insert into tenant_clocks (tenant_id) values ($1)');
});

/** Runs a statement in a transaction. Its first parameter is the tenant. */
async function inTenant(text: string, ...values: unknown[]) {
  await client.query('begin');
  try {
    await client.query('select enter_tenant($1)', [tenant]);
    const { rows } = await client.query(text, [tenant, ...values]);
    await client.query('commit');
    return rows;
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}

const hash = (text: string) => Buffer.from(text.padEnd(32, '.')).toString('hex');

/** An event that requires this version of the counter. */
const raise = (name: string, version: number, key: string | null = null, bytes = 100) => ({
  key: key && hash(key),
  body: key && hash(`${name} ${version}`),
  bytes,
  events: [{ ...event, event_id: newId('evt'), effects: { counters: { name, version } } }],
});
const event = {
  ...{ session_id: 's', channel: 'team', actor_type: 'human', actor_id: 'alice', kind: 'message', content: {} },
  ...{ sensitivity: 'none', tags: [], refs: [], metadata: {} },
};

async function commit(...units: object[]) {
  const rows = await inTenant('select status, outcome from commit_units($1, $2)', JSON.stringify(units));
  return rows.map(({ status, outcome: { seq, made, refusal } }) => [
    status,
    ...(status === 'new' || status === 'replay' ? [Number(seq)] : []),
    ...(refusal ? [refusal.detail] : []),
    ...(made ? [made['counters/0'].version] : []),
  ]);
}

const counter = async (name: string) =>
  (await inTenant('select version, seq::int, judged from counters where tenant_id = $1 and name = $2', name))[0];

const log = async () =>
  (
    await inTenant(
      `select c.last_seq::int as last, c.stored_bytes::int as bytes, array(
         select e.seq::int from events e where e.tenant_id = c.tenant_id order by e.seq) as seqs
       from tenant_clocks c where c.tenant_id = $1`,
    )
  )[0];

test('units see the effects of earlier units of the batch; a refused unit uses no seq and no quota, and the others are written', async () => {
  expect(await commit(raise('a', 0), raise('a', 0), raise('a', 1), raise('b', 7), raise('a', 2))).toEqual([
    ['new', 1, 1],
    ['refused', 'the counter has version 1'],
    ['new', 2, 2],
    ['refused', 'the counter has version 0'],
    ['new', 3, 3],
  ]);
  expect(await log()).toEqual({ last: 3, bytes: 300, seqs: [1, 2, 3] });
  expect([await counter('a'), await counter('b')]).toEqual([{ version: 3, seq: 3, judged: 0 }, undefined]);
  expect(await commit(raise('a', 2), raise('a', 3))).toEqual([
    ['refused', 'the counter has version 3'],
    ['new', 4, 4],
  ]);
});

test('a batch of refused units does not change the log', async () => {
  await commit(raise('a', 0));
  expect((await commit(raise('a', 0), raise('a', 5))).map(([status]) => status)).toEqual(['refused', 'refused']);
  expect(await log()).toEqual({ last: 1, bytes: 100, seqs: [1] });
});

test('a retry of a written unit is not judged again and returns the stored result of the noun', async () => {
  expect(await commit(raise('a', 0, 'k'))).toEqual([['new', 1, 1]]);
  await commit(raise('a', 1));
  const before = await counter('a');
  expect(await commit(raise('a', 0, 'k'))).toEqual([['replay', 1, 1]]);
  expect(await counter('a')).toEqual(before);
  // and it does not count for the next unit
  expect(await commit(raise('a', 0, 'k'), raise('a', 2))).toEqual([
    ['replay', 1, 1],
    ['new', 3, 3],
  ]);
});

test('a refusal is not stored: a retry with the same key is judged again', async () => {
  expect((await commit(raise('a', 1, 'k')))[0]).toEqual(['refused', 'the counter has version 0']);
  await commit(raise('a', 0));
  expect(await commit(raise('a', 1, 'k'))).toEqual([['new', 2, 2]]);
});

test('of equal keys in a batch only the first is judged, and the others get its outcome', async () => {
  expect(
    await commit(raise('a', 0, 'k'), raise('a', 0, 'k'), raise('b', 3, 'l'), raise('b', 3, 'l'), raise('a', 1, 'k')),
  ).toEqual([
    ['new', 1, 1],
    ['replay', 1, 1],
    ['refused', 'the counter has version 0'],
    ['refused', 'the counter has version 0'],
    ['conflict', 1],
  ]);
  expect(await log()).toMatchObject({ last: 1, seqs: [1] });
});

test('a unit beyond the quota is not judged, so that later units do not depend on it', async () => {
  await inTenant('update tenant_clocks set max_bytes = 1000 where tenant_id = $1');
  expect(await commit(raise('a', 0), raise('a', 1, null, 5000), raise('a', 2), raise('a', 1))).toEqual([
    ['new', 1, 1],
    ['quota'],
    ['refused', 'the counter has version 1'],
    ['new', 2, 2],
  ]);
});

test('units with and without effects share a batch', async () => {
  const plain = { key: null, body: null, bytes: 50, events: [{ ...event, event_id: newId('evt') }] };
  expect(await commit(raise('a', 3), plain, raise('a', 0))).toEqual([
    ['refused', 'the counter has version 0'],
    ['new', 1],
    ['new', 2, 1],
  ]);
});

test('an effect of an unknown noun fails the whole batch', async () => {
  const astray = { key: null, body: null, bytes: 50, events: [{ ...event, event_id: newId('evt'), effects: { nobody: {} } }] };
  await expect(commit(raise('a', 0), astray)).rejects.toThrow('unknown noun nobody in an effect');
  expect(await log()).toEqual({ last: 0, bytes: 0, seqs: [] });
});
