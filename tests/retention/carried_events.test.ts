import { erase } from '../erasure/support.ts';
import { exportTenant, failedChecks } from '../export/file.ts';
import { message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { createMemory, done, get, listAllMemories, type Row, recordMessages, say, trim, usage } from './support.ts';

// The events that a trim carries, and for how long.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('a carried source keeps its position without its payload, and an erasure still finds it', async () => {
  const owner = await newTenant(daemon.url);
  await done(owner, 'PATCH', '/v1/tenant', { settings: { require_sources: 'all' } });
  const recorded = await say(owner, 'The crane broke on Monday.', { session_id: 'monday', tags: ['crane'] });
  const upload = await owner.request('POST', '/v1/artifacts?channel=team', {
    body: 'a log',
    headers: { 'content-type': 'text/plain' },
  });
  const claim = await createMemory(owner, { kind: 'fact', text: 'The crane is broken.', refs: [recorded.chunk_ids[0]] });
  const summary = await createMemory(owner, { kind: 'summary', text: 'Monday in one line.', refs: [claim.memory_id] });
  const other = await createMemory(owner, { kind: 'fact', text: 'The log says so.', refs: [upload.body.artifact_id] });
  await recordMessages(owner, 5);
  const { counts } = await trim(owner, 3);
  expect(counts).toMatchObject({ carried: 5 });
  const evidence = await done(owner, 'GET', `/v1/events/${recorded.event_id}`);
  expect([evidence.content, evidence.tags]).toEqual([{ erased: true, retention: true }, []]);
  expect((await owner.request('GET', `/v1/artifacts/${upload.body.artifact_id}`)).body).toBe('a log');
  for (const { memory_id } of [claim, summary, other])
    expect((await get(owner, memory_id)).body).toMatchObject({ grounded: true, stated: true });
  expect(await exportTenant(owner)).not.toContain('broke on Monday');
  await erase(owner, { session_id: 'monday' });
  expect([(await get(owner, claim.memory_id)).status, (await get(owner, summary.memory_id)).status]).toEqual([404, 404]);
  expect((await get(owner, other.memory_id)).body).toMatchObject({ grounded: true });
  expect(await failedChecks(owner)).toEqual([]);
}, 60_000);

test('the next trim drops the events that it carried for memories that have ended', async () => {
  const owner = await newTenant(daemon.url);
  const recorded = await say(owner, 'The ferry sails at six.');
  const first = await createMemory(owner, { kind: 'fact', text: 'The ferry sails at six.', refs: [recorded.event_id] });
  await done(owner, 'POST', '/v1/events', {
    ...message(''),
    channel: 'team',
    kind: 'task_update',
    content: { task_id: 'a', title: 'Paint', status: 'open' },
  });
  await recordMessages(owner, 5);
  expect((await trim(owner, 2)).counts).toMatchObject({ carried: 3 });
  const again = await createMemory(owner, { kind: 'fact', text: 'The ferry sails at six.', refs: [] });
  expect(again.memory_id).toBe(first.memory_id);
  expect((await get(owner, first.memory_id)).body).toMatchObject({ version: 2, grounded: true, refs: [recorded.event_id] });
  await owner.request('DELETE', `/v1/memories/${first.memory_id}`);
  await done(owner, 'POST', '/v1/events', {
    ...message(''),
    channel: 'team',
    kind: 'task_update',
    content: { task_id: 'a', title: 'Paint', status: 'done' },
  });
  await recordMessages(owner, 5);
  expect((await trim(owner, 2)).counts).toMatchObject({ carried: 0 });
  expect([(await usage(owner)).events, (await listAllMemories(owner)).length]).toEqual([2, 0]);
  expect(await failedChecks(owner)).toEqual([]);
}, 60_000);

test('an active capsule keeps its items, a revoked one does not', async () => {
  const owner = await newTenant(daemon.url);
  const reader = await newColleague(owner);
  const recorded = await say(owner, 'The harbour closes at dusk.');
  const old = await createMemory(owner, { kind: 'fact', text: 'It closes at noon.' });
  await done(owner, 'POST', `/v1/memories/${old.memory_id}/supersede`, {
    kind: 'fact',
    text: 'It closes at dusk.',
    channel: 'team',
  });
  const body = {
    title: 'Hours',
    items: [recorded.event_id, recorded.chunk_ids[0], old.memory_id],
    audience: 'all',
    channel: 'team',
  };
  const made = await owner.request('POST', '/v1/capsules', { body });
  expect([made.status, made.body.errors]).toEqual([201, undefined]);
  await recordMessages(owner, 5);
  const read = async () => done(reader, 'GET', `/v1/capsules/${made.body.capsule_id}`);
  const before = await read();
  await trim(owner, 2);
  expect(await read()).toEqual(before);
  await owner.request('DELETE', `/v1/capsules/${made.body.capsule_id}`);
  await recordMessages(owner, 3);
  await trim(owner, 2);
  expect((await reader.request('GET', `/v1/events/${recorded.event_id}`)).status).toBe(404);
  expect(await failedChecks(owner)).toEqual([]);
}, 60_000);

test('the audit and the metrics report how many events a trim dropped and carried', async () => {
  const owner = await newTenant(daemon.url);
  const counted = async () => {
    const text = (await owner.request<string>('GET', '/metrics')).body;
    return ['trimmed', 'carried'].map((what) =>
      Number(new RegExp(`agent_memory_trim_events_total\\{what="${what}"\\} (\\d+)`).exec(text)![1]),
    );
  };
  await createMemory(owner, { kind: 'fact', text: 'The lighthouse is lit.' });
  await recordMessages(owner, 4);
  const [trimmed, carried] = await counted();
  const { oldest_seq } = await trim(owner, 2);
  expect(await counted()).toEqual([trimmed! + 2, carried! + 1]);
  const [entry] = (await done(owner, 'GET', '/v1/audit?action=retention.trimmed')).data;
  expect([entry.route, entry.payload.about]).toEqual([
    'job',
    { job_id: expect.stringMatching(/^job_/), trimmed: 2, carried: 1, oldest_seq },
  ]);
}, 60_000);

test('a replay of a request whose events were trimmed returns 410', async () => {
  const owner = await newTenant(daemon.url);
  const send = (key: string, body: unknown) => owner.request('POST', '/v1/events', { body, headers: { 'idempotency-key': key } });
  const one = message('The tide turns.', { channel: 'team' });
  const bodies = { single: one, batch: { events: [one, one] }, kept: { events: [one, one] } };
  for (const [key, body] of Object.entries(bodies)) expect((await send(key, body)).status).toBe(201);
  const kept = (await send('kept', bodies.kept)).body;
  await trim(owner, 3);
  expect((await send('single', bodies.single)).body).toMatchObject({
    status: 410,
    detail: 'The result of the first request with this Idempotency-Key is no longer stored.',
  });
  expect((await send('batch', bodies.batch)).body).toMatchObject({ status: 410 });
  const again = await send('kept', bodies.kept);
  expect([again.status, again.headers.get('idempotent-replay'), again.body]).toEqual([201, 'true', kept]);
}, 60_000);

test('the recent window of a context contains no carried events', async () => {
  const owner = await newTenant(daemon.url);
  const recorded = await say(owner, 'The crane broke on Monday.', { session_id: 'monday' });
  await createMemory(owner, { kind: 'rule', text: 'Nobody lifts with the crane.', pinned: true, refs: [recorded.event_id] });
  const recent = async () => {
    const body = { channel: 'team', session_id: 'monday', query: 'crane', max_tokens: 10_000 };
    const { sections } = await done(owner, 'POST', '/v1/context', body);
    return sections
      .filter(({ name }: Row) => name === 'recent_window')
      .flatMap(({ items }: Row) => items.map(({ text }: Row) => text));
  };
  expect(await recent()).toEqual([expect.stringContaining('broke on Monday')]);
  await recordMessages(owner, 5);
  expect((await trim(owner, 3)).counts).toMatchObject({ carried: 2 });
  expect((await done(owner, 'GET', `/v1/events/${recorded.event_id}`)).content).toEqual({ text: 'The crane broke on Monday.' });
  expect(await recent()).toEqual([]);
  await say(owner, 'The crane is mended.', { session_id: 'monday' });
  expect(await recent()).toEqual([expect.stringContaining('is mended')]);
}, 60_000);
