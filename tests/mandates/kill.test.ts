import { clientAt } from '../leases/support.ts';
import { type Client, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { readEvents } from '../support/sse.ts';
import { act, decisionOf, issue, readAction, settle, usageOf } from './support.ts';

// Kills as actions meet them: checked in the transaction, after a replay and before an expiry.

let database: Awaited<ReturnType<typeof daemonDatabase>>;
let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  database = await daemonDatabase();
  daemon = await startTestDaemon({}, database.env);
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(async () => {
  await daemon.stop();
  await database.release();
});

const kill = (agent_id: string) => alice.request('POST', `/v1/agents/${agent_id}/kill`, { body: { reason: 'test' } });
const resurrect = (agent_id: string) => alice.request('POST', `/v1/agents/${agent_id}/resurrect`, { body: {} });

test('a kill blocks the next action after a replay and before an expiry, and seals open actions', async () => {
  const mandate = await issue(alice, { max_cost_total_micros: 10 });
  const expired = await issue(alice, { expires_at: '2026-01-01T00:00:00Z' });
  const other = await issue(alice, { agent_id: 'writer' });
  const before = await act(alice, mandate, { action_id: 'one', estimate_micros: 4 });
  await act(alice, mandate, { action_id: 'model', type: 'llm_call', model: 'm', estimate_micros: 5 });
  expect((await kill('planner')).body).toMatchObject({ state: 'killed', mandates: 2 });
  expect(await decisionOf(alice, mandate, { tool: 'any', estimate_micros: 999 })).toBe('403 AGENT_KILLED');
  expect(await decisionOf(alice, expired)).toBe('403 AGENT_KILLED');
  expect((await act(alice, mandate, { action_id: 'one', estimate_micros: 4 })).body).toEqual(before.body);
  expect(await decisionOf(alice, other)).toBe('201 allow');
  // the reservation of the call is returned; the model call is charged, because on_expiry is `charge` for it
  expect(await readAction(alice, mandate, 'one')).toMatchObject({ state: 'expired', charged_micros: 0, reserved_micros: 0 });
  expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: 5, reserved_micros: 0, remaining_micros: 5 });
  expect((await settle(alice, mandate, 'one')).body).toMatchObject({ late: true, charged_micros: 4 });
  await resurrect('planner');
  expect(await decisionOf(alice, mandate)).toBe('201 allow');
  expect(await decisionOf(alice, expired)).toBe('403 MANDATE_EXPIRED');
});

test('the kill of an agent blocks what was delegated from its mandates, and a kill of the tenant blocks all', async () => {
  const parent = await issue(alice);
  const { body: child } = await alice.request('POST', `/v1/mandates/${parent.mandate_id}/delegate`, {
    body: { agent_id: 'helper' },
  });
  await act(alice, child, { action_id: 'one' });
  await kill('planner');
  expect(await decisionOf(alice, child)).toBe('403 AGENT_KILLED');
  expect(await readAction(alice, child, 'one')).toMatchObject({ state: 'expired' });
  await resurrect('planner');
  await kill('helper');
  expect([await decisionOf(alice, child), await decisionOf(alice, parent)]).toEqual(['403 AGENT_KILLED', '201 allow']);
  await alice.request('POST', '/v1/tenant/kill', { body: { reason: 'test' } });
  expect(await decisionOf(alice, parent)).toBe('403 AGENT_KILLED');
});

test('a deferred action of a killed agent cannot be allowed', async () => {
  const mandate = await issue(alice, { principal: 'bot', tool_policies: { '*': { require_approval: true } } });
  const key = await alice.request('POST', '/auth/api-keys', {
    body: { name: 'k', role: 'member', scopes: ['read', 'write'], user_id: 'bot' },
  });
  const body = { action_id: 'one', type: 'tool_call', tool: 'pay', estimate_micros: 1 };
  const path = `/v1/mandates/${mandate.mandate_id}/actions`;
  const asked = await fetch(daemon.url + path, {
    method: 'POST',
    headers: { 'x-api-key': key.body.api_key, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(asked.status).toBe(202);
  await kill('planner');
  const decided = await alice.request('POST', `${path}/one/decide`, { body: { decision: 'allow' } });
  expect(decided.status).toBe(409);
  expect(await usageOf(alice, mandate)).toMatchObject({ reserved_micros: 0, spent_micros: 0 });
});

test('a kill survives a restart', async () => {
  const mandate = await issue(alice);
  await kill('planner');
  await daemon.stop();
  daemon = await startTestDaemon({}, database.env);
  alice = { ...alice, url: daemon.url, request: (method, path, options) => send(daemon.url, method, path, options, alice.token) };
  expect(await decisionOf(alice, mandate)).toBe('403 AGENT_KILLED');
});

describeOnServer('two daemons share a database', () => {
  test('a kill on one daemon blocks the next action on the other and reaches its followers; another agent is not affected', async () => {
    const other = await startTestDaemon({}, database.env);
    const [mandate, unaffected] = [await issue(alice), await issue(alice, { agent_id: 'writer' })];
    const there = clientAt(other.url, alice);
    expect(await decisionOf(there, mandate)).toBe('201 allow');
    const following = new AbortController();
    const stream = await fetch(`${other.url}/v1/events?channel=team&kind=agent.killed`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${alice.token}` },
      signal: following.signal,
    });
    await kill('planner');
    expect([await decisionOf(there, mandate), await decisionOf(there, unaffected)]).toEqual(['403 AGENT_KILLED', '201 allow']);
    for await (const { data } of readEvents(stream)) {
      if (data === undefined) continue;
      expect(JSON.parse(data)).toMatchObject({ kind: 'agent.killed', content: { agent_id: 'planner' } });
      break;
    }
    following.abort();
    await resurrect('planner');
    expect(await decisionOf(there, mandate)).toBe('201 allow');
    await other.stop();
  });
});
