import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { erase } from './support.ts';

// Items that several people contributed to, one of whom is erased.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const done = async (client: Client, method: string, path: string, body?: unknown) => {
  const answer = await client.request(method, path, body === undefined ? {} : { body });
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
};
const record = (client: Client, more: Record<string, unknown>) =>
  done(client, 'POST', '/v1/events', message('', { channel: 'team', user_id: undefined, ...more }));
const move = (client: Client, actor: string, status: string) =>
  record(client, {
    actor: { type: 'human', id: actor },
    kind: 'task_update',
    content: { task_id: 'wall', title: 'zed paints the wall', status },
  });
const consistency = async (client: Client) => {
  const { checks } = await done(client, 'GET', '/v1/consistency');
  return checks.filter(({ ok }: { ok: boolean }) => !ok);
};
const erased = async (client: Client, more = {}) => {
  const job = await erase(client, { user_id: 'zed', ...more });
  expect([job.state, job.problem]).toEqual(['done', undefined]);
  return job.result.certificate;
};

test.each(['az', 'aza', 'zaz', 'azaz', 'zza'])(
  'a task updated by %s: after z is erased, each passage ends where the next version begins, as before',
  async (moves) => {
    const owner = await newTenant(daemon.url);
    const people = { a: ['amy', await newColleague(owner, 'amy')], z: ['zed', await newColleague(owner, 'zed')] } as const;
    const statuses = ['open', 'doing', 'blocked', 'done'];
    let memory_id = '';
    for (const [i, who] of [...moves].entries()) {
      const [name, client] = people[who as 'a' | 'z'];
      ({ memory_id } = await move(client, name, statuses[i]!));
    }
    await erased(owner);
    expect(await consistency(owner)).toEqual([]);
    const { data } = await done(owner, 'GET', `/v1/memories/${memory_id}/versions`);
    const last = [...moves].lastIndexOf('a');
    expect(data.at(-1).body.status).toBe(statuses[last]);
  },
);

test('the new version of a decision does not cite the erased name', async () => {
  const owner = await newTenant(daemon.url);
  const [amy, zed] = [await newColleague(owner, 'amy'), await newColleague(owner, 'zed')];
  const recorded = await record(zed, { actor: { type: 'human', id: 'zed' }, content: { text: 'lavender' } });
  const actor = { type: 'human', id: 'amy' };
  await record(amy, { actor, kind: 'decision', content: { decision: 'Use lavender' }, refs: [recorded.event_id, 'zed'] });
  const { subject_hash } = await erased(owner);
  const { data } = await done(owner, 'GET', '/v1/events?channel=team');
  const citing = data.filter(({ refs }: { refs: string[] }) => refs.length > 0);
  expect(citing.length).toBeGreaterThanOrEqual(2);
  for (const { refs } of citing) {
    expect(refs).not.toContain('zed');
    expect(refs).toContain(subject_hash);
  }
});

test('keep_shared: neither a version of a retained item nor the events about its edits name the person', async () => {
  const owner = await newTenant(daemon.url);
  const [amy, zed] = [await newColleague(owner, 'amy'), await newColleague(owner, 'zed')];
  const first = await move(zed, 'zed', 'open');
  const second = await move(amy, 'amy', 'doing');
  expect(second.memory_id).toBe(first.memory_id);
  const edit = { op: 'attenuate', patch: { importance: 0.5 }, reason: 'zed asked for it', auto_approve: true };
  for (const target of [first.event_id, second.event_id]) await done(owner, 'POST', '/v1/edits', { target, ...edit });
  const note = await record(amy, { actor: { type: 'human', id: 'amy' }, content: { text: 'zed likes lavender' } });
  const { kept_shared, subject_hash } = await erased(owner, { keep_shared: true });
  expect(kept_shared).toMatchObject({ event_ids: [first.event_id], memory_ids: [first.memory_id] });
  const task = await done(owner, 'GET', `/v1/memories/${first.memory_id}`);
  expect([task.text, task.body.status]).toEqual([`${subject_hash} paints the wall`, 'doing']);
  const { data } = await done(owner, 'GET', '/v1/events?channel=team');
  const naming = data.filter((event: object) => /\bzed\b/.test(JSON.stringify(event)));
  expect(naming.map(({ event_id }: any) => event_id)).toEqual([note.event_id]);
  expect(data.filter(({ kind }: any) => kind.startsWith('edit.')).map(({ content }: any) => content.reason)).toEqual(
    Array(4).fill(`${subject_hash} asked for it`),
  );
  const found = await done(amy, 'POST', '/v1/search', { query: 'zed wall', channel: 'team' });
  expect(found.data.filter((hit: any) => /\bzed\b/.test(hit.text)).map((hit: any) => hit.event_id)).toEqual([note.event_id]);
  expect(await consistency(owner)).toEqual([]);
});
