import { message, newTenant } from '../support/client.ts';
import { recordAll, remember } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('a memory is one hit of type memory, with its refs and origin', async () => {
  const alice = await newTenant(daemon.url);
  const [source] = await recordAll(alice, message('we counted', { session_id: 'x' }));
  const fact = { kind: 'fact', text: 'There are nine herons', refs: [source!.event_id], actor: { type: 'agent', id: 'counter' } };
  const first = await remember(alice, fact);
  await remember(alice, fact);
  const [decision] = await recordAll(
    alice,
    { ...message(''), kind: 'decision', content: { decision: 'count herons weekly' } },
    message('herons fly'),
  );
  const { body } = await alice.request('POST', '/v1/search', { body: { query: 'herons' } });
  const found = body.data.map(({ id, type, memory_id }: Record<string, string>) => [id, type, memory_id]);
  expect(found).toHaveLength(3);
  expect(found).toEqual(
    expect.arrayContaining([
      [first.memory_id, 'memory', first.memory_id],
      [decision!.memory_id, 'memory', decision!.memory_id],
      [expect.stringMatching(/^chk_/), 'chunk', undefined],
    ]),
  );
  const hit = body.data.find(({ id }: { id: string }) => id === first.memory_id);
  expect(hit).toMatchObject({
    kind: 'fact',
    text: 'There are nine herons',
    grounded: true,
    trust: 'inferred',
    origin: { type: 'agent', id: 'counter' },
    refs: [hit.event_id, source!.event_id],
  });
});

test('changed, superseded and deleted memories are found as of the time when they were current', async () => {
  const alice = await newTenant(daemon.url);
  const made = await remember(alice, { kind: 'note', text: 'the key is under the mat' });
  const changed = (await alice.request('PATCH', `/v1/memories/${made.memory_id}`, { body: { text: 'the key is under the pot' } }))
    .body;
  await alice.request('DELETE', `/v1/memories/${made.memory_id}`);
  const texts = async (as_of_seq?: number) =>
    (await alice.request('POST', '/v1/search', { body: { query: 'key', ...(as_of_seq && { as_of_seq }) } })).body.data.map(
      ({ text }: { text: string }) => text,
    );
  expect([await texts(made.seq), await texts(changed.seq), await texts()]).toEqual([
    ['the key is under the mat'],
    ['the key is under the pot'],
    [],
  ]);
});

test('a filter narrows a search, and an invalid filter returns the pointers of its errors', async () => {
  const alice = await newTenant(daemon.url);
  await recordAll(
    alice,
    message('heron one', { metadata: { team: 'red', n: 1 }, tags: ['bird'] }),
    message('heron two', { metadata: { team: 'blue', n: 2 } }),
    { ...message(''), kind: 'decision', content: { decision: 'heron three' } },
  );
  await remember(alice, { kind: 'fact', text: 'heron four', pinned: true });
  const texts = async (filter: unknown) =>
    (await alice.request('POST', '/v1/search', { body: { query: 'heron', filter } })).body.data
      .map(({ text }: { text: string }) => text)
      .toSorted();
  expect(await texts({ 'metadata.team': { in: ['red', 'green'] } })).toEqual(['heron one']);
  expect(await texts({ not: { 'metadata.n': { gte: 1 } } })).toEqual(['heron four', 'heron three']);
  expect(await texts({ or: [{ tags: { contains: 'bird' } }, { kind: 'fact' }] })).toEqual(['heron four', 'heron one']);
  expect(await texts({ pinned: true })).toEqual(['heron four']);
  expect(await texts({ importance: { gt: 0.9 }, status: 'active' })).toEqual(['heron three']);
  expect(await texts({ kind: { in: [] } })).toEqual([]);
  const refused = await alice.request('POST', '/v1/search', {
    body: { query: 'x', filter: { and: [{ kindd: 'x' }, { kind: { is: 'x' } }] } },
  });
  expect([refused.status, refused.body.errors.map(({ pointer }: { pointer: string }) => pointer)]).toEqual([
    422,
    ['#/filter/and/0/kindd', '#/filter/and/1/kind/is'],
  ]);
});
