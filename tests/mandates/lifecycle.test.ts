import { erase, waitForJob } from '../erasure/support.ts';
import { exportTenant, failedChecks, importFile, jobDone, linesOf } from '../export/file.ts';
import { done, recordMessages, trim } from '../retention/support.ts';
import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { act, decisionOf, issue, settle, usageOf } from './support.ts';

// Erasure, export, retention and trims: none of them changes a sum or frees an id.

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
const mandatesOf = async (client: Client): Promise<Row[]> => (await client.request('GET', '/v1/mandates')).body.data;

test.each([
  ['agent_id', 'gooseberry'],
  ['user_id', 'gooseberry'],
])('the erasure of a %s revokes its mandates, keeps their sums, and their ids stay taken', async (kind, subject) => {
  const terms = kind === 'agent_id' ? { agent_id: subject } : { principal: subject };
  const parent = await issue(alice, { agent_id: 'root', max_cost_total_micros: 100 });
  const body = { agent_id: 'helper', ...terms, mandate_id: 'budget of gooseberry' };
  const { body: mandate } = await alice.request('POST', `/v1/mandates/${parent.mandate_id}/delegate`, { body });
  const { body: child } = await alice.request('POST', '/v1/mandates/budget%20of%20gooseberry/delegate', {
    body: { agent_id: 'c', principal: 'd' },
  });
  await act(alice, mandate, { action_id: 'settled', tool: 'gooseberry_tool', estimate_micros: 30 });
  await settle(alice, mandate, 'settled');
  await act(alice, mandate, { action_id: 'open', estimate_micros: 20 });
  await act(alice, child, { action_id: 'below', estimate_micros: 7 });
  await erase(alice, { [kind]: subject });
  expect((await act(alice, mandate)).status).toBe(404);
  const hashed = (await mandatesOf(alice)).find(({ mandate_id }) => mandate_id.startsWith('erased_'))!;
  expect(hashed).toMatchObject({
    status: 'revoked',
    parent_id: parent.mandate_id,
    usage: { spent_micros: 30, reserved_micros: 27 },
  });
  expect(JSON.stringify(await mandatesOf(alice))).not.toContain('gooseberry');
  expect(await exportTenant(alice)).not.toContain('gooseberry');
  expect(await usageOf(alice, parent)).toMatchObject({ spent_micros: 30, reserved_micros: 27 });
  expect((await alice.request('POST', '/v1/mandates', { body })).status).toBe(409);
  expect(await decisionOf(alice, child)).toBe('403 MANDATE_EXPIRED');
  expect((await settle(alice, child, 'below')).status).toBe(200);
  expect(await usageOf(alice, parent)).toMatchObject({ spent_micros: 37, reserved_micros: 20 });
  expect(await failedChecks(alice)).toEqual([]);
});

test('an imported mandate keeps its sums, reserves nothing, and is suspended', async () => {
  const parent = await issue(alice, { mandate_id: 'shared', max_cost_total_micros: 100 });
  const { body: child } = await alice.request('POST', '/v1/mandates/shared/delegate', { body: {} });
  await act(alice, child, { action_id: 'one', estimate_micros: 30 });
  await settle(alice, child, 'one');
  await act(alice, child, { action_id: 'two', estimate_micros: 20 });
  const file = await exportTenant(alice);
  expect(linesOf(file).filter(({ type }) => type === 'action' || type === 'actions')).toEqual([]);
  const target = await newTenant(daemon.url);
  const { status, body } = await importFile(target, file);
  expect([status, body.detail]).toEqual([202, undefined]);
  expect((await jobDone(target, body.job_id)).state).toBe('done');
  for (const mandate of [parent, child]) {
    expect(await usageOf(target, mandate)).toMatchObject({ spent_micros: 30, reserved_micros: 0, calls: 2 });
    expect(await decisionOf(target, mandate)).toBe('403 MANDATE_SUSPENDED');
  }
  expect((await mandatesOf(target)).map(({ status }) => status)).toEqual(['suspended', 'suspended']);
  expect(await failedChecks(target)).toEqual([]);
});

test('retention and a trim keep mandates and open actions, and no sum changes', async () => {
  const mandate = await issue(alice, { max_cost_total_micros: 100 });
  await act(alice, mandate, { action_id: 'settled', estimate_micros: 30 });
  await settle(alice, mandate, 'settled');
  await act(alice, mandate, { action_id: 'open', estimate_micros: 20, lease_ms: 3_600_000 });
  const before = await usageOf(alice, mandate);
  const rules = ['mandate.created', 'action.allowed', 'action.settled'].map((kind) => ({
    kind,
    older_than_days: 0,
    max_importance: 1,
  }));
  await done(alice, 'PUT', '/v1/retention', { rules });
  expect((await waitForJob(alice, (await done(alice, 'POST', '/v1/retention/runs')).job_id)).state).toBe('done');
  expect(await usageOf(alice, mandate)).toEqual(before);
  await done(alice, 'PUT', '/v1/retention', { rules: [] });
  await recordMessages(alice, 4);
  await trim(alice, 1);
  expect(await usageOf(alice, mandate)).toEqual(before);
  expect((await settle(alice, mandate, 'open')).body).toMatchObject({ charged_micros: 20, remaining_micros: 50 });
  expect(await failedChecks(alice)).toEqual([]);
});
