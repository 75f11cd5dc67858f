import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { type Bundle, contextOf, itemsOf, recordAll, remember, textsOf } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { testOnServer } from '../support/database.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

async function profileOf(client: Client, query: Record<string, string | number> = {}): Promise<Bundle> {
  const parameters = new URLSearchParams(Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]));
  const { status, body } = await client.request('GET', `/v1/profile?${parameters}`);
  expect([status, body]).toEqual([200, expect.anything()]);
  return body as unknown as Bundle;
}
const namesOf = ({ sections }: Bundle) => sections.map(({ name }) => name);
const allTexts = ({ sections }: Bundle) => sections.flatMap(({ items }) => items.map(({ text }) => text)).join('\n');

/** Records a conversation of bob about pottery among other things. */
const talk = (client: Client, more: Record<string, unknown> = {}) =>
  recordAll(
    client,
    ...Array.from({ length: 20 }, (_, i) =>
      message(i < 4 ? `The pottery class number ${i} was calm` : `Sentence ${'abcdefghijklmnopqrst'[i]}x of the day`, {
        session_id: `talk-${Math.floor(i / 5)}`,
        actor: { type: 'human', id: i % 2 ? 'bob' : 'alice' },
        tags: i < 3 ? ['kiln'] : [],
        ...more,
      }),
    ),
  );

test('a profile has the rules, facts, tasks, topics and people, and each item is cited', async () => {
  const alice = await newTenant(daemon.url);
  const said = await talk(alice);
  await remember(alice, { kind: 'rule', text: 'Be brief.', scope: 'global' });
  await remember(alice, { kind: 'preference', text: 'tea, not coffee' });
  const fact = await remember(alice, { kind: 'fact', text: 'Alice lives in Bern.' });
  await remember(alice, { kind: 'task', text: 'Buy clay' });
  const profile = await profileOf(alice);
  expect(namesOf(profile)).toEqual(['rules', 'profile', 'task_state']);
  expect(textsOf(profile, 'rules')).toEqual(['[user] tea, not coffee', '[global] Be brief.']);
  expect(textsOf(profile, 'task_state')).toEqual(['[open] Buy clay']);
  const items = itemsOf(profile, 'profile');
  expect(items[0]).toMatchObject({
    type: 'fact',
    memory_id: fact.memory_id,
    text: expect.stringContaining('Alice lives in Bern.'),
  });
  expect(items.map(({ text }) => text.replace(/\(.*?\)/, ''))).toEqual(
    expect.arrayContaining(['topic : #kiln', 'topic : pottery', 'person : bob']),
  );
  const people = items.filter(({ text }) => text.startsWith('person'));
  expect(people).toHaveLength(1);
  expect(people[0]!.refs).toEqual([19, 17, 15, 13, 11].map((i) => said[i]!.event_id));
  for (const { refs } of profile.sections.flatMap((section) => section.items)) expect(refs.length).toBeGreaterThan(0);
});

test('a word of every passage, a stop word and a word of one passage are no topics', async () => {
  const alice = await newTenant(daemon.url);
  await talk(alice);
  const topics = textsOf(await profileOf(alice), 'profile').filter((text) => text.startsWith('topic'));
  expect(topics.join()).not.toMatch(/day|the|Sentence/i);
  expect(topics.join()).not.toMatch(/: abcx/);
});

test('a topic in a language without spaces is a word', async () => {
  const alice = await newTenant(daemon.url);
  const texts = [
    '我喜欢陶器和茶',
    '陶器的课很安静',
    '今天下雨',
    '我们去市场',
    '火车晚点了',
    '他买了面包',
    '书店关门了',
    '孩子在睡觉',
  ];
  await recordAll(alice, ...texts.map((text) => message(text)));
  expect(textsOf(await profileOf(alice), 'profile').map((text) => text.replace(/\(.*?\)/, ''))).toContain('topic : 陶器');
});

test('what a context does not state is not in a profile', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  await remember(alice, { kind: 'summary', text: 'a summary without a source' });
  await remember(alice, { kind: 'fact', text: 'not valid yet', valid_from: '2099-01-01T00:00:00Z' });
  const old = await remember(alice, { kind: 'fact', text: 'the old address' });
  await alice.request('POST', `/v1/memories/${old.memory_id}/supersede`, { body: { text: 'the new address' } });
  const gone = await remember(alice, { kind: 'fact', text: 'a deleted fact' });
  await alice.request('DELETE', `/v1/memories/${gone.memory_id}`);
  await remember(bob, { kind: 'rule', text: 'a proposed rule', channel: 'team' });
  const profile = await profileOf(alice, { max_tokens: 4_000 });
  expect(allTexts(profile)).not.toMatch(/without a source|not valid|old address|deleted|proposed/);
  expect(allTexts(profile)).toMatch(/the new address/);
});

test('a profile shows what the channel may see, and private items only of the user on whose behalf it is read', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  await remember(alice, { kind: 'fact', text: 'alice has a secret garden' });
  await remember(alice, { kind: 'fact', text: 'the team meets on Monday', channel: 'team' });
  await talk(alice);
  expect(allTexts(await profileOf(bob))).toMatch(/meets on Monday/);
  expect(allTexts(await profileOf(bob))).not.toMatch(/secret garden|pottery|kiln/);
  expect(allTexts(await profileOf(bob, { about_user_id: 'alice' }))).not.toMatch(/secret garden|pottery/);
  expect((await profileOf(alice, { channel: 'public' })).sections).toEqual([]);
  expect(allTexts(await profileOf(alice))).toMatch(/secret garden/);
  expect((await bob.request('GET', '/v1/profile?user_id=alice')).status).toBe(403);
  expect((await bob.request('GET', '/v1/profile?channel=nowhere&max_tokens=1')).body.errors).toEqual([
    { parameter: 'channel', detail: expect.any(String) },
    { parameter: 'max_tokens', detail: expect.any(String) },
  ]);
});

test('the topics of a team are in the profile of each member, and in that of a key without a subject', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  await talk(alice, { channel: 'team' });
  const { body } = await alice.request('POST', '/auth/api-keys', {
    body: { name: 'backend', role: 'member', scopes: ['read'], user_id: '*' },
  });
  const response = await fetch(`${daemon.url}/v1/profile?channel=team`, { headers: { 'x-api-key': body.api_key } });
  expect(response.status).toBe(200);
  expect(allTexts((await response.json()) as Bundle)).toMatch(/pottery/);
  expect(allTexts(await profileOf(bob, { channel: 'team' }))).toMatch(/pottery/);
  const unnamed = await fetch(`${daemon.url}/v1/profile`, { headers: { 'x-api-key': body.api_key } });
  expect([unnamed.status, ((await unnamed.json()) as any).errors]).toEqual([
    422,
    [{ parameter: 'user_id', detail: expect.any(String) }],
  ]);
});

test('a profile of a user, project or agent has only what is about it', async () => {
  const alice = await newTenant(daemon.url);
  const fact = (text: string, more: Record<string, unknown>) => remember(alice, { kind: 'fact', text, channel: 'team', ...more });
  await fact('dora runs marathons', { user_id: 'dora' });
  await fact('the recipe app uses sqlite', { project_id: 'recipes' });
  await fact('the planner is slow', { agent_id: 'planner' });
  await remember(alice, { kind: 'preference', text: 'dora reads in the evening', channel: 'team', user_id: 'dora' });
  const about = async (query: Record<string, string>) => allTexts(await profileOf(alice, { channel: 'team', ...query }));
  expect(await about({ about_user_id: 'dora' })).toMatch(/dora reads(.|\n)*marathons/);
  expect(await about({ about_user_id: 'dora' })).not.toMatch(/recipe|planner/);
  expect(await about({ project_id: 'recipes' })).toMatch(/recipe/);
  expect(await about({ project_id: 'recipes' })).not.toMatch(/marathons|planner/);
  expect(await about({ agent_id: 'planner' })).toMatch(/planner/);
  expect(await about({ agent_id: 'planner' })).not.toMatch(/marathons|recipe/);
});

test('newer notes that a member may not see do not displace those of the member', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  await remember(bob, { kind: 'note', text: 'bob tunes the kiln', project_id: 'pots' });
  const memories = Array.from({ length: 201 }, (_, i) => ({
    ...{ kind: 'note', channel: 'private', project_id: 'pots' },
    text: `alice's note number ${i}`,
  }));
  expect((await alice.request('POST', '/v1/memories', { body: { memories } })).status).toBe(201);
  expect(allTexts(await profileOf(bob, { project_id: 'pots' }))).toMatch(/bob tunes the kiln/);
});

test('a profile at a seq stays the same while the log grows', async () => {
  const alice = await newTenant(daemon.url);
  await talk(alice);
  const old = await remember(alice, { kind: 'fact', text: 'the old address' });
  const { seq } = await remember(alice, { kind: 'fact', text: 'Alice lives in Bern.' });
  const before = await profileOf(alice, { as_of_seq: seq });
  expect(allTexts(before)).toMatch(/the old address/);
  await alice.request('POST', `/v1/memories/${old.memory_id}/supersede`, { body: { text: 'the new address' } });
  await talk(alice, { content: { text: 'glaze and glaze' } });
  expect(await profileOf(alice, { as_of_seq: seq })).toEqual(before);
  expect(allTexts(await profileOf(alice))).not.toMatch(/old address/);
});

test('a profile keeps within its budget', async () => {
  const alice = await newTenant(daemon.url);
  const memories = Array.from({ length: 60 }, (_, i) => ({
    kind: 'fact',
    channel: 'private',
    text: `Fact number ${i}: ${'qwertzuiopasdfghjklyxcvbnm'.slice(i % 20)} ${i * 7919}`,
  }));
  await alice.request('POST', '/v1/memories', { body: { memories } });
  const profile = await profileOf(alice, { max_tokens: 300 });
  expect(profile.token_used).toBeLessThanOrEqual(300);
  expect(profile.token_used).toBeGreaterThan(200);
});

test('a context has a profile without a query, for a question about what is known, and with the intent `continue`', async () => {
  const alice = await newTenant(daemon.url);
  await talk(alice);
  await remember(alice, { kind: 'fact', text: 'Alice lives in Bern.' });
  const request = (more: Record<string, unknown>) => contextOf(alice, { session_id: 'new', ...more });
  for (const more of [
    {},
    { query: 'the' },
    { query: 'What do you know about me?' },
    { query: 'continue' },
    { query: 'kiln', intent: 'continue' },
  ]) {
    const bundle = await request(more);
    expect(textsOf(bundle, 'profile').join('\n')).toMatch(/Bern(.|\n)*pottery(.|\n)*bob/);
  }
  const plain = await request({ query: 'Which class was calm?' });
  expect([namesOf(plain).includes('profile'), namesOf(plain).includes('retrieved_evidence')]).toEqual([false, true]);
  const named = await request({ query: 'Where is Bern?', sections: ['profile', 'retrieved_evidence'] });
  expect(allTexts(named).match(/lives in Bern/g)).toHaveLength(1);
});

test('without a query, the topics of a context come from other sessions than its own', async () => {
  const alice = await newTenant(daemon.url);
  await talk(alice, { session_id: 's1' });
  expect(textsOf(await contextOf(alice), 'profile')).toEqual([]);
  expect(textsOf(await contextOf(alice, { session_id: 's2' }), 'profile').join()).toMatch(/pottery/);
});

const onServer = testOnServer('a second connection reads the plan');

onServer('facts and topics of a profile are read by an index, however many memories others have', async () => {
  const alice = await newTenant(daemon.url);
  const facts = async (user_id: string, count: number) => {
    const memories = Array.from({ length: count }, (_, i) => ({
      kind: 'fact',
      channel: 'private',
      text: `fact ${i} of ${user_id}`,
      user_id,
    }));
    const { status } = await alice.request('POST', '/v1/memories', { body: { memories } });
    expect(status).toBe(201);
  };
  const { PGHOST: host, PGPORT: port, PGUSER: user, PGDATABASE: database } = daemon.env;
  const connection = { host: host!, port: Number(port), user: user!, database: database! };
  /** Returns the number of rows that a read of carol's profile fetches from each table, and the number that it returns. */
  const readProfile = () =>
    withClient(connection, async (client) => {
      await client.query('begin; set local role agent_memory_app');
      await client.query('select enter_tenant($1)', [alice.tenant_id]);
      const { rows: clock } = await client.query('select last_seq from tenant_clocks');
      const scope = {
        ...{ channels: ['private'], subjects: ['carol'], sensitivities: ['none'], channel: 'private' },
        as_of_seq: Number(clock[0].last_seq),
      };
      const read = await client.query('select * from read_profile($1, $2, $3)', [alice.tenant_id, scope, { passages: 200 }]);
      const { rows } = await client.query(
        `select relname, (seq_tup_read + idx_tup_fetch)::int as fetched
         from pg_stat_xact_user_tables
         where relname in ('memories', 'memory_versions', 'events', 'chunks')`,
      );
      const fetched = Object.fromEntries(rows.map((row) => [row.relname, row.fetched]));
      return { fetched, found: read.rows.length } as { fetched: Record<string, number>; found: number };
    });
  await facts('carol', 5);
  const small = await readProfile();
  for (let i = 0; i < 4; i += 1) await facts(`user-${i}`, 500);
  const large = await readProfile();
  expect([small.found, large.found]).toEqual([5, 5]);
  // besides what the small tenant needs, at most the passages of the newest thousand events
  for (const [table, fetched] of Object.entries(large.fetched))
    expect([table, fetched <= 60 + (table === 'chunks' ? 1_000 : 0) ? 'bounded' : fetched]).toEqual([table, 'bounded']);
});

onServer(
  'the newest memories of a subject, project or agent, and the shared ones, are read from an index of their own',
  async () => {
    const { PGHOST: host, PGPORT: port, PGUSER: user, PGDATABASE: database } = daemon.env;
    await withClient({ host: host!, port: Number(port), user: user!, database: database! }, async (client) => {
      await client.query('set enable_seqscan = off');
      const scope = '{"channels": ["team"], "subjects": ["x"], "sensitivities": ["none"]}';
      for (const by of ['subject', 'project', 'agent', 'shared']) {
        const { rows } = await client.query(
          `explain select * from newest_visible_memories('t', '${scope}', '${by}', '{x}', '{fact,note}', 200)`,
        );
        const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
        expect(plan).toContain(`memories__${by}`);
        expect(plan).not.toMatch(/Seq Scan on/);
      }
    });
  },
);
