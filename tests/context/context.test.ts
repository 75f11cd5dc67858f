import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

interface Context {
  token_used: number;
  answered: boolean;
  sections: { name: string; items: { text: string; refs: string[]; type: string }[] }[];
  omissions: { reason: string; count: number; candidates: string[]; artifact_id?: string }[];
  provenance: { candidate_pool_size: number; deduplicated: number; as_of_seq: number; query_terms: string[] };
  text?: string;
}
const record = async (client: Client, ...events: unknown[]) => {
  const { status, body } = await client.request('POST', '/v1/events', { body: { events } });
  expect([status, body]).toEqual([201, expect.anything()]);
  return body.data as { event_id: string; seq: number; artifact_id?: string }[];
};
const context = async (client: Client, more: Record<string, unknown> = {}): Promise<Context> => {
  const { status, body } = await client.request('POST', '/v1/context?render=text', {
    body: { session_id: 's1', channel: 'private', ...more },
  });
  expect([status, body]).toEqual([200, expect.anything()]);
  return body as unknown as Context;
};
const items = (of: Context, name: string) => of.sections.find((section) => section.name === name)?.items ?? [];
const decide = (decision: string, more: Record<string, unknown> = {}) => ({
  ...message(''),
  session_id: 'd',
  kind: 'decision',
  content: { decision, ...more },
});
const task = (content: Record<string, unknown>, session_id = 't') => ({
  ...message(''),
  session_id,
  kind: 'task_update',
  content,
});

test('sections are in the documented order, the recent window is oldest first, and every item cites its event', async () => {
  const alice = await newTenant(daemon.url);
  await record(
    alice,
    task({ task_id: 'T1', title: 'Ship it', status: 'open' }),
    decide('ship on Friday'),
    message('when do we ship?'),
    message('I will look'),
  );
  await record(alice, message('shipping means a tag and a note', { session_id: 'other' }));
  const bundle = await context(alice, { query_text: 'How do we ship?' });
  expect(bundle.sections.map(({ name }) => name)).toEqual(['task_state', 'decisions', 'recent_window', 'retrieved_evidence']);
  expect(items(bundle, 'recent_window').map(({ text }) => text.split(': ')[1])).toEqual(['when do we ship?', 'I will look']);
  expect(items(bundle, 'retrieved_evidence').map(({ text }) => text)).toEqual([expect.stringContaining('a tag and a note')]);
  for (const { items: all } of bundle.sections) for (const { refs } of all) expect(refs[0]).toMatch(/^(evt|mem)_/);
});

test('`answered` is true if the search found something or, without a query, if there are items', async () => {
  const alice = await newTenant(daemon.url);
  expect((await context(alice)).answered).toBe(false);
  await record(alice, message('the parser is slow'));
  const summary = { kind: 'summary', text: 'The lexer is slow.', channel: 'private' };
  expect((await alice.request('POST', '/v1/memories', { body: summary })).status).toBe(201);
  expect((await context(alice)).answered).toBe(true);
  expect((await context(alice, { query: 'parser' })).answered).toBe(true);
  // never recorded, without a searchable word, or without a source
  for (const query of ['giraffe', '?', 'lexer']) expect((await context(alice, { query })).answered).toBe(false);
});

test('task_state has the latest update of each task that is not done', async () => {
  const alice = await newTenant(daemon.url);
  await record(
    alice,
    task({ task_id: 'T1', title: 'One', status: 'open' }),
    task({ task_id: 'T2', title: 'Two', status: 'doing' }),
    task({ title: 'Three', status: 'blocked', details: 'waits for Two' }),
    task({ task_id: 'T1', title: 'One', status: 'done' }),
    task({ task_id: 'T2', title: 'Two', status: 'open' }),
  );
  const bundle = await context(alice, { session_id: 'new', intent: 'continue' });
  expect(items(bundle, 'task_state').map(({ text }) => text)).toEqual(['[open] Two', '[blocked] Three: waits for Two']);
});

test('a superseded decision is left out of all sections and listed as omitted', async () => {
  const alice = await newTenant(daemon.url);
  const [first] = await record(alice, decide('never store secrets'));
  await record(alice, decide('store secrets encrypted', { supersedes: first!.event_id }));
  const bundle = await context(alice, { query_text: 'Do we store secrets?' });
  expect(bundle.text).toContain('store secrets encrypted');
  expect(bundle.text).not.toContain('never store secrets');
  expect(bundle.omissions).toContainEqual({ reason: 'superseded', count: 1, candidates: [first!.event_id] });
});

test('a private decision cannot supersede one that others see', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  const [first] = await record(alice, { ...decide('tabs, not spaces'), channel: 'team' });
  const refused = await bob.request('POST', '/v1/events', { body: decide('spaces, not tabs', { supersedes: first!.event_id }) });
  expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining('new memory must be visible')]);
  expect((await context(alice, { query_text: 'tabs or spaces?' })).text).toContain('tabs, not spaces');
});

test('the smallest budget is not exceeded, and token_used is the count of the rendered text', async () => {
  const { countTokens } = await import('gpt-tokenizer/encoding/o200k_base');
  const alice = await newTenant(daemon.url);
  await record(
    alice,
    ...Array.from({ length: 300 }, (_, i) =>
      message(`Parrots are loud, observation ${i}: ${'squawk '.repeat(i % 40)}`, { session_id: `s${i % 7}` }),
    ),
  );
  for (const max_tokens of [256, 257, 600, 5000]) {
    const bundle = await context(alice, { query_text: 'How loud are parrots?', max_tokens });
    expect(bundle.token_used).toBe(countTokens(bundle.text!));
    expect(bundle.token_used).toBeLessThanOrEqual(max_tokens);
    expect(bundle.token_used).toBeGreaterThan(max_tokens * 0.8);
  }
});

test('a large output is cut to its share and listed as truncated with its artifact', async () => {
  const alice = await newTenant(daemon.url);
  const [output] = await record(alice, {
    ...message(''),
    kind: 'tool_result',
    content: { tool: 'cat', excerpt_text: 'the build log\n'.repeat(20_000) },
  });
  const bundle = await context(alice, { max_tokens: 1000 });
  expect(items(bundle, 'recent_window')).toHaveLength(1);
  expect(bundle.omissions).toContainEqual({
    reason: 'truncated',
    count: 1,
    candidates: [output!.event_id],
    artifact_id: output!.artifact_id,
  });
});

test('the same request at the same seq returns the same answer, whatever was recorded later', async () => {
  const alice = await newTenant(daemon.url);
  await record(
    alice,
    ...Array.from({ length: 60 }, (_, i) => message(`The gull number ${i} landed`, { session_id: `s${i % 3}` })),
    decide('feed the gull'),
  );
  const body = { query_text: 'Which gull landed?', max_tokens: 600 };
  const first = await context(alice, body);
  await record(alice, message('The gull landed again'), decide('never feed the gull'));
  const again = await context(alice, { ...body, as_of_seq: first.provenance.as_of_seq });
  const { context_id: _, provenance: __, ...one } = first as never as Record<string, unknown>;
  const { context_id: ___, provenance: ____, ...two } = again as never as Record<string, unknown>;
  expect(two).toEqual(one);
});

test('invisible items are neither packed nor counted nor listed', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  await record(
    alice,
    ...Array.from({ length: 30 }, (_, i) => message(`my lagoon secret ${i}`)),
    decide('the lagoon stays hidden'),
    task({ title: 'Hide the lagoon', status: 'open' }),
  );
  const bundle = await context(bob, { query_text: 'lagoon secret' });
  expect(bundle).toMatchObject({ sections: [], omissions: [], provenance: { candidate_pool_size: 0, deduplicated: 0 } });
  expect(await context(alice, { query_text: 'lagoon secret', channel: 'team' })).toMatchObject({ sections: [], omissions: [] });
});
