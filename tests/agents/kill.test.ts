import { randomBytes } from 'node:crypto';
import type { Client as Connection } from 'pg';
import { countBlocked } from '../support/blocked.ts';
import { type Client, message, newColleague, newTenant, send } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, serverConnection } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

// The kill switch (docs/agents.md), on one daemon with either engine and on two daemons that share a database.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

type Row = Record<string, any>;
const KILLED = [403, 'AGENT_KILLED', true];
const codeOf = ({ status, body }: { status: number; body: Row }) => [status, body.code, body.hard];

/** Creates a key and returns how to send requests with it. */
async function keyOf(client: Client, more: Row = {}) {
  const body = { name: 'worker', role: 'member', scopes: ['read', 'write'], ...more };
  const made = await client.request('POST', '/auth/api-keys', { body });
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  const headers = { 'x-api-key': made.body.api_key as string };
  return {
    headers,
    request: (
      method: string,
      path: string,
      options: { body?: unknown; headers?: Record<string, string> } = {},
      url = client.url,
    ) => send<Row>(url, method, path, { ...options, headers: { ...options.headers, ...headers } }),
  };
}

const kill = (client: Pick<Client, 'request'>, agent_id: string, body: Row = {}) =>
  client.request('POST', `/v1/agents/${agent_id}/kill`, { body });
const resurrect = (client: Client, agent_id: string) => client.request('POST', `/v1/agents/${agent_id}/resurrect`, { body: {} });
const stateOf = async (client: Client, agent_id: string) => (await client.request('GET', `/v1/agents/${agent_id}`)).body;

test('a kill stops the keys of the agent and nothing else, and a resurrection restores them', async () => {
  const bob = await newColleague(alice);
  const [planner, writer, unbound] = [
    await keyOf(alice, { agent_id: 'planner' }),
    await keyOf(alice, { agent_id: 'writer' }),
    await keyOf(alice),
  ];
  const note = { body: { text: 'a note', channel: 'team' } };
  expect((await planner.request('POST', '/v1/events', note)).status).toBe(201);
  const killed = await kill(bob, 'planner', { reason: 'it loops' });
  expect([killed.status, killed.body]).toEqual([
    200,
    { agent_id: 'planner', state: 'killed', reason: 'it loops', killed_at: expect.any(String), mandates: 0, spent_micros: 0 },
  ]);
  for (const [method, path, options] of [
    ['POST', '/v1/events', note],
    ['GET', '/v1/events?channel=team'],
    ['POST', '/v1/search', { body: { query: 'note', channel: 'team' } }],
    ['GET', '/auth/me'],
    ['POST', '/auth/api-keys', { body: { name: 'child', role: 'member', scopes: ['read'] } }],
    ['POST', '/v1/agents/writer/kill', { body: {} }],
  ] as const)
    expect(codeOf(await planner.request(method, path, options))).toEqual(KILLED);
  expect((await writer.request('POST', '/v1/events', note)).status).toBe(201);
  expect((await unbound.request('POST', '/v1/events', { body: { ...note.body, agent_id: 'planner' } })).status).toBe(201);
  expect((await resurrect(alice, 'planner')).body.state).toBe('active');
  expect((await planner.request('POST', '/v1/events', note)).status).toBe(201);
  const { data } = (await alice.request('GET', '/v1/events?channel=team')).body;
  expect(data.map(({ kind, content }: Row) => [kind, content]).filter(([kind]: [string]) => kind.startsWith('agent.'))).toEqual([
    ['agent.killed', { agent_id: 'planner', reason: 'it loops' }],
    ['agent.resurrected', { agent_id: 'planner' }],
  ]);
});

test('a kill, a resurrection and a revocation need no body, because a reason is optional', async () => {
  const { mandate_id } = (await alice.request('POST', '/v1/mandates', { body: { agent_id: 'a1', max_cost_total_micros: 1 } }))
    .body;
  for (const path of [
    'agents/a1/kill',
    'agents/a1/resurrect',
    'tenant/kill',
    'tenant/resurrect',
    `mandates/${mandate_id}/revoke`,
  ])
    expect([path, (await alice.request('POST', `/v1/${path}`)).status]).toEqual([path, 200]);
});

test('members kill, but only a logged-in admin resurrects; a bound key kills its own agent alone; readers kill nothing', async () => {
  const bob = await newColleague(alice);
  const carol = await newColleague(alice, 'carol', 'reader');
  const admin = await keyOf(alice, { role: 'admin', scopes: ['read', 'write', 'admin'] });
  const planner = await keyOf(alice, { agent_id: 'planner' });
  expect((await kill(carol, 'planner')).status).toBe(403);
  expect((await planner.request('POST', '/v1/agents/writer/kill', { body: {} })).status).toBe(403);
  expect((await planner.request('POST', '/v1/agents/planner/kill', { body: {} })).body.state).toBe('killed');
  for (const client of [bob, admin, planner])
    expect((await client.request('POST', '/v1/agents/planner/resurrect', { body: {} })).status).toBe(403);
  expect((await bob.request('POST', '/v1/tenant/kill', { body: {} })).status).toBe(403);
  expect((await admin.request('POST', '/v1/tenant/kill', { body: {} })).body.state).toBe('killed');
  expect((await admin.request('POST', '/v1/tenant/resurrect', { body: {} })).status).toBe(403);
});

test('a kill of the tenant stops every agent, and its end leaves those stopped that were killed by themselves', async () => {
  const [planner, writer, unbound] = [
    await keyOf(alice, { agent_id: 'planner' }),
    await keyOf(alice, { agent_id: 'writer' }),
    await keyOf(alice),
  ];
  await kill(alice, 'planner', { reason: 'alone' });
  expect((await alice.request('POST', '/v1/tenant/kill', { body: { reason: 'all' } })).body).toMatchObject({
    state: 'killed',
    reason: 'all',
  });
  for (const key of [planner, writer]) expect(codeOf(await key.request('GET', '/auth/me'))).toEqual(KILLED);
  expect((await unbound.request('GET', '/auth/me')).status).toBe(200);
  expect(await stateOf(alice, 'of tomorrow')).toMatchObject({ state: 'killed', reason: 'all' });
  expect((await resurrect(alice, 'writer')).body.state).toBe('killed');
  expect((await alice.request('POST', '/v1/tenant/resurrect', { body: {} })).body.state).toBe('active');
  expect(codeOf(await planner.request('GET', '/auth/me'))).toEqual(KILLED);
  expect((await writer.request('GET', '/auth/me')).status).toBe(200);
  expect(await stateOf(alice, 'planner')).toMatchObject({ state: 'killed', reason: 'alone' });
});

test('a repeated kill keeps the time of the first; a retry returns the committed outcome; * is not an agent', async () => {
  const headers = { 'Idempotency-Key': 'k1' };
  const body = { reason: 'once' };
  const first = await alice.request('POST', '/v1/agents/planner/kill', { body, headers });
  const second = await kill(alice, 'planner', { reason: 'twice' });
  expect([second.body.killed_at, second.body.reason]).toEqual([first.body.killed_at, 'twice']);
  const again = await alice.request('POST', '/v1/agents/planner/kill', { body, headers });
  expect([again.body, again.headers.get('idempotent-replay')]).toEqual([first.body, 'true']);
  expect((await kill(alice, '*')).status).toBe(422);
  expect((await kill(alice, 'planner', { force: true })).status).toBe(422);
});

test('a stream of a bound key ends with the kill and delivers nothing that was recorded after it', async () => {
  const planner = await keyOf(alice, { agent_id: 'planner' });
  const response = await fetch(`${alice.url}/v1/events?channel=team`, {
    headers: { ...planner.headers, accept: 'text/event-stream' },
  });
  expect(response.status).toBe(200);
  const text = response.text();
  await kill(alice, 'planner');
  await alice.request('POST', '/v1/events', { body: message('after the kill', { channel: 'team' }) });
  expect(await text).not.toMatch(/after the kill|agent\.killed/);
});

test('a kill ends the leases of the agent’s keys, and stops actions of the agent, also open ones', async () => {
  const planner = await keyOf(alice, { agent_id: 'planner' });
  const lease = (client: { request: typeof planner.request | Client['request'] }, owner: string) =>
    client.request('PUT', '/v1/leases/work', { body: { owner, ttl_ms: 600_000 } });
  const held = (await lease(planner, 'planner')).body;
  expect((await lease(alice, 'alice')).status).toBe(409);
  const { mandate_id } = (
    await alice.request('POST', '/v1/mandates', { body: { agent_id: 'planner', max_cost_total_micros: 10 } })
  ).body;
  const act = (action_id: string) =>
    alice.request('POST', `/v1/mandates/${mandate_id}/actions`, {
      body: { action_id, type: 'tool_call', tool: 'read', estimate_micros: 4, lease_ms: 600_000 },
    });
  expect((await act('a1')).status).toBe(201);
  const killed = await kill(alice, 'planner');
  expect(killed.body).toMatchObject({ mandates: 1, spent_micros: 0 });
  const taken = (await lease(alice, 'alice')).body;
  expect(taken.token > held.token).toBe(true);
  expect(codeOf(await act('a2'))).toEqual(KILLED);
  const action = await alice.request('GET', `/v1/mandates/${mandate_id}/actions/a1`);
  expect(Date.parse(action.body.expires_at) <= Date.parse(killed.body.killed_at) + 1).toBe(true);
  expect((await resurrect(alice, 'planner')).body.state).toBe('active');
  expect((await act('a3')).status).toBe(201);
});

test('an erasure of the agent removes its name but not the kill', async () => {
  const planner = await keyOf(alice, { agent_id: 'planner' });
  await kill(alice, 'planner', { reason: 'planner of secrets' });
  const { job_id } = (await alice.request('POST', '/v1/erasures', { body: { agent_id: 'planner' } })).body;
  await eventually(async () => (await alice.request('GET', `/v1/jobs/${job_id}`)).body.state === 'done', 'the erasure');
  const state = await stateOf(alice, 'planner');
  expect([state.state, state.reason]).toEqual(['killed', undefined]);
  expect(codeOf(await planner.request('GET', '/auth/me'))).toEqual(KILLED);
  expect((await resurrect(alice, 'planner')).body.state).toBe('active');
});

/** Runs with a connection to the daemon's database that sees all rows. */
const withDatabase = <T>(work: (client: Connection) => Promise<T>) =>
  withClient({ ...serverConnection(), database: daemon.env.PGDATABASE! }, work);

describeOnServer('two daemons share a database', () => {
  let other: TestDaemon;
  beforeAll(async () => {
    // the state of a credential is cached for far longer than the test takes
    other = await startTestDaemon({ CREDENTIAL_TTL_MS: '60000' }, daemon.env);
  });
  afterAll(() => other.stop());

  test('a kill on one daemon stops a cached key on the other with the next request, and survives a restart', async () => {
    const planner = await keyOf(alice, { agent_id: 'planner' });
    const there = (method: string, path: string, body?: unknown) =>
      planner.request(method, path, body === undefined ? {} : { body }, other.url);
    expect((await there('POST', '/v1/events', { text: 'alive' })).status).toBe(201);
    await kill(alice, 'planner');
    expect(codeOf(await there('POST', '/v1/events', { text: 'dead' }))).toEqual(KILLED);
    expect(codeOf(await there('GET', '/v1/events'))).toEqual(KILLED);
    await other.stop();
    other = await startTestDaemon({ CREDENTIAL_TTL_MS: '60000' }, daemon.env);
    expect(codeOf(await there('GET', '/v1/events'))).toEqual(KILLED);
  });

  test('no event of the agent follows its kill in the log, whatever was in flight', async () => {
    const planner = await keyOf(alice, { agent_id: 'planner' });
    const writes = Array.from({ length: 60 }, (_, i) =>
      planner.request('POST', '/v1/events', { body: { text: `note ${i}`, channel: 'team' } }, i % 2 ? daemon.url : other.url),
    );
    const killed = kill(alice, 'planner');
    const answers = await Promise.all(writes);
    expect((await killed).status).toBe(200);
    const { data } = (await alice.request('GET', '/v1/events?channel=team&limit=200')).body;
    const at = data.findIndex(({ kind }: Row) => kind === 'agent.killed');
    expect(data.slice(at + 1)).toEqual([]);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(at);
    for (const answer of answers.filter(({ status }) => status !== 201)) expect(codeOf(answer)).toEqual(KILLED);
  });

  test('a write that passed the door before the kill is refused in its transaction', async () => {
    const planner = await keyOf(alice, { agent_id: 'planner' });
    await withDatabase(async (client) => {
      // holds the clock, so that the write waits behind the door
      await client.query('begin');
      await client.query('select from tenant_clocks where tenant_id = $1 for update', [alice.tenant_id]);
      const write = planner.request('POST', '/v1/events', { body: { text: 'late' } });
      const key = planner.request('POST', '/auth/api-keys', {
        body: { name: `k-${randomBytes(3).toString('hex')}`, role: 'member', scopes: ['read'] },
      });
      await eventually(async () => (await countBlocked(client)) === 2, 'both writes at the clock');
      await client.query(
        `insert into agent_states (tenant_id, agent_hash, agent_id, state, updated_at) values ($1, agent_hash('planner'), 'planner', 'killed', now())`,
        [alice.tenant_id],
      );
      await client.query('commit');
      expect([codeOf(await write), codeOf(await key)]).toEqual([KILLED, KILLED]);
    });
  });

  test('a kill fails the unfinished jobs that keys of the agent started', async () => {
    const body = { name: 'worker', role: 'admin', scopes: ['read', 'write', 'admin'], agent_id: 'planner' };
    const { key_id } = (await alice.request('POST', '/auth/api-keys', { body })).body;
    await withDatabase((client) =>
      client.query(
        `insert into jobs (tenant_id, job_id, kind, input, started_by, due_at, created_at, updated_at)
         select $1, j, 'erasure', '{}', b, now() + interval '1 hour', now(), now()
         from (values ('job_planner', $2), ('job_other', 'usr_1')) v (j, b)`,
        [alice.tenant_id, key_id],
      ),
    );
    await kill(alice, 'planner');
    const stateOfJob = async (id: string) => {
      const { state, problem } = (await alice.request('GET', `/v1/jobs/${id}`)).body;
      return [state, problem?.detail];
    };
    expect(await stateOfJob('job_planner')).toEqual(['failed', 'The agent whose key started the job was killed.']);
    expect(await stateOfJob('job_other')).toEqual(['queued', undefined]);
  });

  test('a kill needs no storage quota', async () => {
    await withDatabase((client) =>
      client.query('update tenant_clocks set max_bytes = 0 where tenant_id = $1', [alice.tenant_id]),
    );
    expect((await alice.request('POST', '/v1/events', { body: message('full') })).status).toBe(413);
    expect((await kill(alice, 'planner')).body.state).toBe('killed');
  });
});
