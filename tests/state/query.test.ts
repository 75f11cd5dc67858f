import { Client as Connection } from 'pg';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { workerDatabase } from '../support/database.ts';
import { keysOf, put, type Row } from './client.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
  const operations = Array.from({ length: 12 }, (_, i) => ({
    ...{
      op: 'put',
      namespace: NAMESPACE,
      key: `k${String(i).padStart(2, '0')}`,
      tags: { mod: String(i % 3), 'a.b': i < 6 ? 'low' : 'high' },
    },
    body: { n: i, text: `item ${i}`, list: [i, i + 1], deep: { even: i % 2 === 0 } },
    ...(i === 5 && { ttl_seconds: 3600 }),
  }));
  await alice.request('POST', '/v1/state/batch', { body: { operations } });
});
afterAll(() => daemon.stop());

const NAMESPACE = 'agent://demo';
const query = async (client: Client, body: Row): Promise<Row> => {
  const answer = await client.request('POST', '/v1/state/query', { body: { namespace: NAMESPACE, ...body } });
  if (answer.status !== 200) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
};
const found = async (body: Row) => keysOf(await query(alice, body));
const numbered = (...numbers: number[]) => numbers.map((n) => `k${String(n).padStart(2, '0')}`);

test('tags, prefix, contains and filter select exactly', async () => {
  expect(await found({ tags: { mod: '1' } })).toEqual(numbered(1, 4, 7, 10));
  expect(await found({ tags: { mod: '1', 'a.b': 'low' } })).toEqual(numbered(1, 4));
  expect(await found({ tags: { mod: '9' } })).toEqual([]);
  expect(await found({ tags: {} })).toEqual(numbered(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  expect(await found({ prefix: 'k1' })).toEqual(numbered(10, 11));
  expect(await found({ contains: { deep: { even: true }, list: [4] } })).toEqual(numbered(4));
  expect(await found({ filter: { 'body.n': { gte: 10 } } })).toEqual(numbered(10, 11));
  expect(await found({ filter: { 'tags.a.b': 'low', 'body.deep.even': true } })).toEqual(numbered(0, 2, 4));
  expect(await found({ filter: { expires_at: { exists: true } } })).toEqual(numbered(5));
  expect(await found({ filter: { or: [{ key: 'k03' }, { commit_seq: 1 }], version: 1 } })).toEqual(numbered(0, 3));
  expect(await found({ filter: { 'body.text': { contains: 'item 1' }, not: { 'body.n': 1 } } })).toEqual(numbered(10, 11));
  expect(await found({ filter: { updated_at: { lt: '2020-01-01T00:00:00Z' } } })).toEqual([]);
});

test('each order pages through every object once', async () => {
  for (const [order, expected] of [
    ['key', numbered(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)],
    ['-key', numbered(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)],
    ['updated_at', numbered(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)],
    ['-commit_seq', numbered(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)],
  ] as const) {
    const pages: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await query(alice, { order, limit: 5, ...(cursor !== null && { cursor }) });
      pages.push(...keysOf(page));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect([order, pages]).toEqual([order, expected]);
  }
});

test('a query of an earlier moment sees the bodies and tags of that moment', async () => {
  const bob = await newTenant(daemon.url);
  await put(bob, 'a', { body: { v: 1 }, tags: { t: 'old' } });
  await put(bob, 'b', { body: { v: 1 }, tags: { t: 'old' } });
  await put(bob, 'a', { body: { v: 2 }, tags: { t: 'new' } });
  await bob.request('DELETE', '/v1/state/agent%3A%2F%2Fdemo/b');
  expect(keysOf(await query(bob, { tags: { t: 'old' } }))).toEqual([]);
  expect(keysOf(await query(bob, { tags: { t: 'old' }, at: '2' }))).toEqual(['a', 'b']);
  expect(keysOf(await query(bob, { tags: { t: 'old' }, at: '3' }))).toEqual(['b']);
  expect(keysOf(await query(bob, { at: '3', order: '-commit_seq' }))).toEqual(['a', 'b']);
  expect((await query(bob, { contains: { v: 1 }, at: '1' })).data[0]).toMatchObject({
    key: 'a',
    version: 1,
    body: { v: 1 },
    commit_seq: 1,
  });
  const { status } = await bob.request('POST', '/v1/state/query', { body: { namespace: NAMESPACE, at: '9' } });
  expect(status).toBe(422);
});

test('a query and its filter see only what the caller sees', async () => {
  const owner = await newTenant(daemon.url);
  const bob = await newColleague(owner);
  await put(bob, 'own', { body: { v: 1 }, channel: 'private', tags: { t: 'x' } });
  await put(owner, 'shared', { body: { v: 1 }, tags: { t: 'x' } });
  for (const body of [{ tags: { t: 'x' } }, { contains: { v: 1 } }, { filter: { 'body.v': 1 } }, { at: '2' }, {}]) {
    expect(keysOf(await query(owner, body))).toEqual(['shared']);
    expect(keysOf(await query(bob, body))).toEqual(['own', 'shared']);
    expect(keysOf(await query(owner, { ...body, all_users: true }))).toEqual(['own', 'shared']);
    expect(keysOf(await query(owner, { ...body, user_id: 'bob' }))).toEqual(['own', 'shared']);
  }
});

test('invalid queries are rejected', async () => {
  for (const body of [
    { filter: { other: 1 } },
    { filter: { 'metadata.a': 1 } },
    { filter: { body: 1 } },
    { filter: { 'tags.': 1 } },
    { filter: { version: 'x' } },
    { order: 'version' },
    { limit: 0 },
    { tag_filter: {} },
    { contains: Array(17).fill(1) },
    { contains: { list: Array(10).fill(Array(10).fill(1)) } },
    { contains: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`n${i}`, {}])) },
    { cursor: 'x' },
  ]) {
    const { status } = await alice.request('POST', '/v1/state/query', { body: { namespace: NAMESPACE, ...body } });
    expect([body, status]).toEqual([body, 422]);
  }
  expect(await found({ contains: Object.fromEntries(Array.from({ length: 99 }, (_, i) => [`n${i}`, Array(0)])) })).toEqual([]);
  expect((await alice.request('POST', '/v1/state/query', { body: {} })).status).toBe(422);
});

test('a rare tag is found through the index, whatever the planner estimates', async () => {
  const connection = new Connection((await workerDatabase()).connection);
  await connection.connect();
  try {
    await connection.query('begin');
    await connection.query('select make_tenant($1, null) from enter_tenant($1)', ['tagged']);
    // without statistics
    await connection.query(
      `insert into state_objects (tenant_id, namespace, key, channel, life, version, seq, body, tags, created_at, updated_at)
       select 'tagged', 'ns', 'key' || n, 'team', 'live', 1, n, '1', jsonb_build_object('rare', case when n % 1000 = 0 then 'yes' else n::text end), now(), now()
       from generate_series(1, 5000) n`,
    );
    const keys = await connection.query(`select key from tagged_keys('ns', '{"rare": "yes"}', 100) key order by key`);
    expect(keys.rows.map(({ key }) => key)).toEqual(['key1000', 'key2000', 'key3000', 'key4000', 'key5000']);
    expect((await connection.query(`select key from tagged_keys('other', '{"rare": "yes"}', 100) key`)).rows).toEqual([]);
    const body = (
      await connection.query<{ source: string }>(`select prosrc as source from pg_proc where proname = 'tagged_keys'`)
    ).rows[0]!.source;
    const [, statement] = /return query(.*?);/s.exec(body)!;
    const named = statement!
      .replaceAll('v_tenant', 'current_tenant()')
      .replaceAll('v_hashes', `state_tag_keys(current_tenant(), 'ns', '{"rare": "yes"}')`)
      .replaceAll('p_namespace', `'ns'`)
      .replaceAll('p_tags', `'{"rare": "yes"}'::jsonb`)
      .replaceAll('p_limit', '100');
    await connection.query('set local role agent_memory_searcher');
    for (const kind of ['seqscan', 'indexscan', 'indexonlyscan']) await connection.query(`set local enable_${kind} = off`);
    const plan = (await connection.query(`explain ${named}`)).rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toContain('Bitmap Index Scan on state_objects__tags');
    expect(plan).not.toContain('Seq Scan on state_objects');
  } finally {
    await connection.query('rollback');
    await connection.end();
  }
});

test('a tag is found among many objects whose tags have the same hash', async () => {
  const owner = await newTenant(daemon.url);
  const operations = Array.from({ length: 2001 }, (_, i) => ({
    op: 'put',
    namespace: `${NAMESPACE}/a`,
    key: `k${i}`,
    body: i,
    tags: { b: 'x' },
  }));
  for (let from = 0; from < operations.length; from += 1000) {
    const { status } = await owner.request('POST', '/v1/state/batch', {
      body: { operations: operations.slice(from, from + 1000) },
    });
    expect(status).toBe(200);
  }
  await put(owner, 'hidden', { body: 1, tags: { 'a/b': 'x' } });
  expect(keysOf(await query(owner, { tags: { 'a/b': 'x' } }))).toEqual(['hidden']);
});

test('a scan that is bounded continues at its cursor, finds every match, and names no object that the caller cannot see', async () => {
  const admin = await newTenant(daemon.url);
  const owner = await newColleague(admin);
  for (let from = 0; from < 6000; from += 1000) {
    const operations = Array.from({ length: 1000 }, (_, i) => ({
      op: 'put',
      namespace: NAMESPACE,
      key: `k${from + i}`,
      body: { n: from + i },
      channel: 'private',
    }));
    expect((await owner.request('POST', '/v1/state/batch', { body: { operations } })).status).toBe(200);
  }
  const first = await query(owner, { filter: { 'body.n': 5999 }, order: 'commit_seq' });
  expect([first.data, first.scanned_upto]).toEqual([[], 5000]);
  const second = await query(owner, { filter: { 'body.n': 5999 }, order: 'commit_seq', cursor: first.next_cursor });
  expect([keysOf(second), second.next_cursor]).toEqual([['k5999'], null]);
  await put(admin, 'z', { body: { n: 5999 } });
  for (const order of ['key', '-key', 'commit_seq'])
    for (const at of [{}, { at: '6001' }]) {
      const page = await query(admin, { filter: { 'body.n': 5999 }, order, ...at });
      expect([keysOf(page), page.next_cursor, page.scanned_upto]).toEqual([['z'], null, undefined]);
    }
});

test('a query by tags alone returns what the same query with a further condition returns', async () => {
  const owner = await newTenant(daemon.url);
  const everything = { filter: { version: { gte: 1 } } };
  const compare = async (client: Client, body: Row) => {
    const page = await query(client, body);
    expect(await query(client, { ...body, ...everything })).toEqual(page);
    return page;
  };
  const tags = { 'a/b': 'x', ü: '"\\' };
  const audience = { agent_id: 'planner', session_id: 's "1"', project_id: 'p', user_id: 'alice' };
  await put(owner, 'all', { body: { n: 1.5, big: 1e300, text: 'a"b\\ü\n' }, tags, ttl_seconds: 3600, ...audience });
  await put(owner, 'null', { body: null, tags });
  await put(owner, 'gone', { body: 1, tags });
  await owner.request('DELETE', '/v1/state/agent%3A%2F%2Fdemo/gone');
  await put(owner, 'private', { body: 'mine', tags: { ...tags, more: '1' }, channel: 'private' });
  const page = await compare(owner, { tags });
  expect(keysOf(page)).toEqual(['all', 'null', 'private']);
  expect(page.data[0]).toMatchObject({ body: { big: 1e300 }, ...audience, tags });
  const first = await compare(owner, { tags, limit: 2 });
  expect([keysOf(first), typeof first.next_cursor]).toEqual([['all', 'null'], 'string']);
  const rest = await compare(owner, { tags, limit: 1, cursor: first.next_cursor });
  expect([keysOf(rest), rest.next_cursor]).toEqual([['private'], null]);
  const bob = await newColleague(owner);
  expect(keysOf(await compare(bob, { tags }))).toEqual(['all', 'null']);
  // concurrent queries share a statement
  expect(keysOf(await compare(bob, {}))).toEqual(['all', 'null']);
  const many = await Promise.all(
    [{ tags }, { tags: { more: '1' } }, { tags: { none: '1' } }, { tags, limit: 1 }].map((body) => query(owner, body)),
  );
  expect(many.map(keysOf)).toEqual([['all', 'null', 'private'], ['private'], [], ['all']]);
});

test('a list and a query by tags page through all objects and those with common and rare tags', async () => {
  const owner = await newTenant(daemon.url);
  const bob = await newColleague(owner);
  const operations = Array.from({ length: 1000 }, (_, i) => ({
    ...{ op: 'put', namespace: NAMESPACE, key: `k${1000 + i}`, body: i, channel: i % 2 === 0 ? 'team' : 'private' },
    tags: { all: '1', third: String(i % 3), tenth: String(i % 10), end: i < 850 ? 'no' : 'yes' },
  }));
  expect((await owner.request('POST', '/v1/state/batch', { body: { operations } })).status).toBe(200);
  for (const [tags, matches] of [
    [{}, () => true],
    [{ all: '1' }, () => true],
    [{ third: '1' }, (i) => i % 3 === 1],
    [{ tenth: '4' }, (i) => i % 10 === 4],
    [{ end: 'yes' }, (i) => i >= 850],
    [{ third: '2', end: 'yes' }, (i) => i % 3 === 2 && i >= 850],
  ] as [Row, (i: number) => boolean][])
    for (const [client, sees] of [
      [owner, () => true],
      [bob, (i) => i % 2 === 0],
    ] as [Client, (i: number) => boolean][]) {
      const keys: string[] = [];
      for (let cursor: string | undefined, last = false; !last; ) {
        const page = await query(client, { tags, limit: 70, ...(cursor !== undefined && { cursor }) });
        keys.push(...keysOf(page));
        cursor = page.next_cursor;
        last = cursor === null;
      }
      const expected = operations.filter((_, i) => matches(i) && sees(i)).map(({ key }) => key);
      expect([tags, keys]).toEqual([tags, expected]);
    }
});

test('a query by tags also finds large, compressed and many objects', async () => {
  const owner = await newTenant(daemon.url);
  const tags = { t: 'x' };
  await put(owner, 'a', { body: 'x'.repeat(100_000), tags });
  expect((await query(owner, { tags })).data[0].body).toHaveLength(100_000);
  await put(owner, 'a', { body: Array(120).fill(1e300), tags });
  for (const key of ['b', 'c']) await put(owner, key, { body: Array(120).fill(1e300), tags });
  expect(keysOf(await query(owner, { tags }))).toEqual(['a', 'b', 'c']);
  const operations = Array.from({ length: 150 }, (_, i) => ({
    op: 'put',
    namespace: NAMESPACE,
    key: `k${1000 + i}`,
    body: i,
    tags,
  }));
  await owner.request('POST', '/v1/state/batch', { body: { operations } });
  const page = await query(owner, { tags, limit: 100 });
  expect([page.data.length, keysOf(await query(owner, { tags, limit: 100, cursor: page.next_cursor })).at(-1)]).toEqual([
    100,
    'k1149',
  ]);
});
