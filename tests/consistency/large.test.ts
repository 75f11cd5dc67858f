import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon({ CONSISTENCY_AT_ONCE: '20000' });
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

async function remember(memories: object[]): Promise<{ memory_id: string }[]> {
  const { status, body } = await alice.request('POST', '/v1/memories', { body: { memories } });
  expect(status).toBe(201);
  return body.data;
}

async function wrong(): Promise<unknown[]> {
  const { status, body } = await alice.request('GET', '/v1/consistency');
  expect([status, body.title]).toEqual([200, undefined]);
  return body.checks.filter(({ ok }: { ok: boolean }) => !ok);
}

const note = (text: string, more: object = {}) => ({ kind: 'note', text, channel: 'team', session_id: 's1', ...more });

test('a fact with thousands of repetitions is checked within the time of a request', async () => {
  for (let batch = 0; batch < 28; batch += 1) await remember(Array.from({ length: 500 }, () => note('the tide comes at six')));
  expect(await wrong()).toEqual([]);
}, 240_000);

test('thousands of memories, some of which were superseded, are checked within the time of a request', async () => {
  const old: { memory_id: string }[] = [];
  for (let batch = 0; batch < 16; batch += 1)
    old.push(...(await remember(Array.from({ length: 250 }, (_, i) => note(`old ${batch} ${i}`)))));
  await remember(old.slice(0, 20).map(({ memory_id }, i) => note(`new ${i}`, { supersedes: memory_id })));
  expect(await wrong()).toEqual([]);
}, 240_000);
