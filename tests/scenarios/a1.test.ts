import { message, newTenant, send } from '../support/client.ts';
import { contextOf, itemsOf, recordAll } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// A1: nearly everything is stored.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('A1 every step is stored in order, a large output is an excerpt with an artifact, and the decision is in a context within its budget', async () => {
  const alice = await newTenant(daemon.url);
  const lines = Array.from({ length: 200 }, (_, i) => `src/file${i}.ts:${i} ok`).join('\n');
  const large = Array.from({ length: 8_000 }, (_, i) => `${String(i).padStart(6, '0')} ${'x'.repeat(22)}\n`).join('');
  expect(large).toHaveLength(240_000);
  const agent = { type: 'agent', id: 'coder' };
  const steps = [
    message('Which files read the config?'),
    { ...message(''), actor: agent, kind: 'tool_call', content: { tool: 'grep', arguments: { pattern: 'config' } } },
    { ...message(''), actor: { type: 'tool', id: 'grep' }, kind: 'tool_result', content: { tool: 'grep', excerpt_text: lines } },
    { ...message(''), actor: { type: 'tool', id: 'cat' }, kind: 'tool_result', content: { tool: 'cat', excerpt_text: large } },
    message('Then one file should read it.'),
  ];
  const stored = await recordAll(alice, ...steps);
  const [decision] = await recordAll(alice, {
    ...message('', { refs: [stored[2]!.event_id, stored[4]!.event_id] }),
    kind: 'decision',
    content: { decision: 'only config.ts reads the environment', rationale: ['the grep shows two hundred readers'] },
  });

  const { body: list } = await alice.request('GET', '/v1/events?limit=10');
  expect(list.data.map(({ kind }: { kind: string }) => kind)).toEqual([
    'message',
    'tool_call',
    'tool_result',
    'tool_result',
    'message',
    'decision',
  ]);
  expect(list.data.slice(0, 3).map(({ content }: { content: unknown }) => content)).toEqual(
    steps.slice(0, 3).map(({ content }) => content),
  );
  const { content, artifact_id } = list.data[3];
  expect(content).toMatchObject({ truncated: true, artifact_id });
  expect(Buffer.byteLength(content.excerpt_text)).toBeLessThanOrEqual(64 * 1024);
  expect(large.startsWith(content.excerpt_text)).toBe(true);
  const artifact = await send<string>(daemon.url, 'GET', `/v1/artifacts/${artifact_id}`, {}, alice.token);
  expect(artifact.body).toBe(large);

  const { body: memory } = await alice.request('GET', `/v1/memories/${decision!.memory_id}`);
  expect(memory).toMatchObject({
    kind: 'decision',
    text: 'only config.ts reads the environment',
    status: 'active',
    grounded: true,
  });
  expect(memory.refs).toEqual(expect.arrayContaining([decision!.event_id, stored[2]!.event_id, stored[4]!.event_id]));

  const bundle = await contextOf(alice, { query_text: 'Who reads the config?', max_tokens: 3000 });
  const [first] = itemsOf(bundle, 'decisions');
  expect(first).toMatchObject({
    memory_id: decision!.memory_id,
    text: expect.stringContaining('only config.ts reads the environment'),
  });
  expect(first!.refs).toEqual(expect.arrayContaining([decision!.event_id, stored[2]!.event_id, stored[4]!.event_id]));
  expect(bundle.token_used).toBeLessThanOrEqual(3000);
  expect(bundle.text).toContain('000000 xxx');
  expect(bundle.text).not.toContain('007999');
  expect(bundle.omissions).toContainEqual({ reason: 'truncated', count: 1, candidates: expect.any(Array), artifact_id });
});
